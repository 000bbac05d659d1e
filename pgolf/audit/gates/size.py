"""Gates of the artifact's size."""

from collections.abc import Iterator

from pgolf.audit.facts import Facts, shipped_bytes
from pgolf.audit.verdicts import Verdict, settled
from pgolf.records.folder import MAIN
from pgolf.records.problems import SMALL_EDIT
from pgolf.rulesets.ruleset import Ruleset

MEBI_LIMIT_SHARE = 2**20 / 1e6


def size_verdicts(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """The cap, its unit, and whose code was counted."""
    yield from cap(facts, ruleset)
    yield from units(facts, ruleset)
    yield from counted_code(facts, ruleset)


def cap(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """The largest artifact: as logged, as claimed, and as the committed code makes it."""
    limit = ruleset.artifact_limit_bytes
    logged = facts.of_runs("total_bytes")
    stated = [*logged, *facts.claimed_bytes]
    if not stated:
        yield settled("SIZE-CAP", "unknown", "neither logs nor claims give a size", "numbers")
        return
    largest = max(stated)
    place = next((run.place for run in facts.runs if run.total_bytes == largest), "submission.json")
    words = f"{largest:,} bytes are {'logged' if largest in logged else 'claimed'}, the limit is {limit:,}"
    if largest <= limit:
        yield settled("SIZE-CAP", "pass", words, "numbers", place)
    elif largest in logged and fits_as_shipped(facts, limit):
        words += f"; with {MAIN} as committed it is {max(shipped_bytes(facts)):,}"
        yield settled("SIZE-CAP", "warn", words, "numbers", place)
    else:
        yield settled("SIZE-CAP", "fail", f"{words}; {largest - limit:,} over", "numbers", place)


def fits_as_shipped(facts: Facts, limit: int) -> bool:
    """Whether every run that is over the limit as logged is below it with the committed code, and as claimed."""
    code = facts.committed.get(MAIN)
    over = [run for run in facts.runs if (run.total_bytes or 0) > limit]
    fitting = [
        run for run in over if code is not None and run.model_bytes is not None and run.model_bytes + code <= limit
    ]
    return fitting == over and max(facts.claimed_bytes, default=0) <= limit


def units(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Whether a size was read in MiB."""
    limit = ruleset.artifact_limit_bytes
    between = [size for size in facts.of_runs("total_bytes") if limit < size <= limit * MEBI_LIMIT_SHARE]
    if problem := facts.problems.get("mib_called_mb"):
        yield settled("SIZE-UNITS", "fail" if between else "warn", problem.message, "numbers")
    elif between:
        words = f"{max(between):,} bytes are over the limit in bytes and under it in MiB"
        yield settled("SIZE-UNITS", "warn", words, "numbers")


def counted_code(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Whether the logs count the code that was committed."""
    rule, committed = "SIZE-CODE-IS-SHIPPED-CODE", facts.committed.get(MAIN)
    counted = sorted(set(facts.of_runs("code_bytes")))
    if committed is None:
        yield settled(rule, "unknown", f"there is no {MAIN} to count", "files")
        return
    shipped, limit = shipped_bytes(facts), ruleset.artifact_limit_bytes
    if shipped and max(shipped) > limit:
        words = f"with {MAIN} as committed ({committed:,} bytes) the largest artifact is {max(shipped):,}"
        yield settled(rule, "warn", f"{words}, over the limit of {limit:,}", "files", MAIN)
    elif others := [name for name in facts.committed if name != MAIN and name.endswith(".py")]:
        yield from with_helpers(facts, others, limit)
    elif not counted:
        yield settled(rule, "unknown", f"no log counts its code; {MAIN} has {committed:,} bytes", "files", MAIN)
    elif all(abs(committed / size - 1) > SMALL_EDIT for size in counted):
        words = f"the logs count {counted[-1]:,} bytes of code, {MAIN} has {committed:,}"
        yield settled(rule, "warn", words, "files", MAIN)
    else:
        yield settled(rule, "pass", f"{MAIN} has {committed:,} bytes, the logs count {counted[-1]:,}", "files", MAIN)


def with_helpers(facts: Facts, others: list[str], limit: int) -> Iterator[Verdict]:
    """Whether code beside the main file would burst the limit, if the scored process loads it."""
    models = facts.of_runs("model_bytes")
    total = max(models, default=0) + sum(size for name, size in facts.committed.items() if name.endswith(".py"))
    words = f"{', '.join(others[:3])} {'is' if len(others) == 1 else 'are'} committed beside {MAIN}"
    if not models:
        yield settled("SIZE-CODE-IS-SHIPPED-CODE", "unknown", words, "files", *others[:3])
    elif total > limit:
        words += f"; with all of it the largest artifact is {total:,} bytes, over the limit"
        yield settled("SIZE-CODE-IS-SHIPPED-CODE", "warn", words, "files", *others[:3])
    else:
        yield settled(
            "SIZE-CODE-IS-SHIPPED-CODE", "pass", f"{words}; with all of it {total:,} bytes fit", "files", MAIN
        )
