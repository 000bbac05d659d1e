"""Gates of the artifact's size."""

from collections.abc import Iterator

from pgolf.audit.facts import Facts, shipped_bytes
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.records.problems import SMALL_EDIT
from pgolf.rulesets.limits import bytes_over
from pgolf.rulesets.ruleset import Ruleset

MIB_OVER_MB = 2**20 / 1e6


def size_verdicts(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Yield the verdicts on the size limit, its unit, and the code that was counted."""
    limit = ruleset.limits.bytes
    if limit is None:
        yield make_verdict("SIZE-CAP", "pass", f"{ruleset.label} sets no limit of bytes", "numbers")
    else:
        size = check_limit(facts, limit)
        yield size
        yield from check_units(facts, limit, is_over=size.severity == "fail")
    yield check_counted_code(facts, limit)


def check_limit(facts: Facts, limit: int) -> Verdict:
    """Compare the largest logged or claimed artifact with the limit.

    A logged total over the limit is only a warning where the model fits with the committed script, or where a later
    line may give the final size.
    """
    logged = facts.run_values("total_bytes")
    stated = [*logged, *facts.claimed_bytes]
    if not stated:
        return make_verdict("SIZE-CAP", "unknown", "neither logs nor claims give a size", "numbers")
    largest = max(stated)
    place = next((run.log for run in facts.runs if run.total_bytes == largest), "submission.json")
    message = f"{largest:,} bytes are {'logged' if largest in logged else 'claimed'}; the limit is {limit:,}"
    over = bytes_over(largest, limit)
    if not over and (rounded := facts.problems.get("rounded_size")):
        return make_verdict("SIZE-CAP", "unknown", rounded.message, "numbers", place)
    if not over:
        return make_verdict("SIZE-CAP", *facts.pass_if_all("total_bytes", message), "numbers", place)
    if largest in logged and fits_as_shipped(facts, limit):
        message += f"; with {facts.script} as committed the artifact has {max(shipped_bytes(facts)):,}"
        return make_verdict("SIZE-CAP", "warn", message, "numbers", place)
    doubtful = facts.problems.get("over_cap")
    if largest in logged and doubtful is not None and doubtful.severity == "warn":
        return make_verdict("SIZE-CAP", "warn", doubtful.message, "numbers", place)
    return make_verdict("SIZE-CAP", "fail", f"{message}; {over:,} bytes over", "numbers", place)


def fits_as_shipped(facts: Facts, limit: int) -> bool:
    """Return whether each run that is logged over the limit fits with the committed code, and all claims fit."""
    code = None if facts.script is None else facts.committed[facts.script]
    over = [run for run in facts.runs if bytes_over(run.total_bytes, limit)]
    fitting = [
        run
        for run in over
        if code is not None and run.model_bytes is not None and not bytes_over(run.model_bytes + code, limit)
    ]
    return fitting == over and not bytes_over(max(facts.claimed_bytes, default=0), limit)


def check_units(facts: Facts, limit: int, *, is_over: bool) -> Iterator[Verdict]:
    """Yield a verdict if the size may have been compared with the limit in MiB; a failure if the artifact is over."""
    between = [
        size for size in facts.run_values("total_bytes") if bytes_over(size, limit) and size <= limit * MIB_OVER_MB
    ]
    if problem := facts.problems.get("mib_called_mb"):
        yield make_verdict("SIZE-UNITS", "fail" if between and is_over else "warn", problem.message, "numbers")
    elif between:
        message = f"{max(between):,} bytes exceed the limit in MB and fit it in MiB"
        yield make_verdict("SIZE-UNITS", "warn", message, "numbers")


def check_counted_code(facts: Facts, limit: int | None) -> Verdict:
    """Compare the code that the logs count with the committed code."""
    rule, script = "SIZE-CODE-IS-SHIPPED-CODE", facts.script
    counted = sorted(set(facts.run_values("code_bytes")))
    if script is None:
        return make_verdict(rule, "unknown", "there is no script to count", "files")
    committed, shipped = facts.committed[script], shipped_bytes(facts)
    if shipped and bytes_over(max(shipped), limit):
        message = f"with {script} as committed ({committed:,} bytes) the largest artifact has {max(shipped):,} bytes"
        return make_verdict(rule, "warn", f"{message}; the limit is {limit:,}", "files", script)
    if helpers := [name for name in facts.committed if name != script and name.endswith(".py")]:
        return check_helpers(facts, script, helpers, limit)
    if not counted:
        message = f"no log counts its code; {script} has {committed:,} bytes"
        return make_verdict(rule, "unknown", message, "files", script)
    message = f"the logs count {counted[-1]:,} bytes of code; {script} has {committed:,}"
    if all(abs(committed / size - 1) > SMALL_EDIT for size in counted):
        return make_verdict(rule, "warn", message, "files", script)
    return make_verdict(rule, *facts.pass_if_all("code_bytes", message), "files", script)


def check_helpers(facts: Facts, script: str, helpers: list[str], limit: int | None) -> Verdict:
    """Check whether the artifact fits even if the scored process loads every committed Python file."""
    rule, models = "SIZE-CODE-IS-SHIPPED-CODE", facts.run_values("model_bytes")
    total = max(models, default=0) + sum(size for name, size in facts.committed.items() if name.endswith(".py"))
    message = f"{', '.join(helpers[:3])} {'is' if len(helpers) == 1 else 'are'} committed beside {script}"
    if not models:
        return make_verdict(rule, "unknown", message, "files", *helpers[:3])
    if bytes_over(total, limit):
        message += f"; with all Python files the largest artifact has {total:,} bytes, over the limit of {limit:,}"
        return make_verdict(rule, "warn", message, "files", *helpers[:3])
    message += f"; with all Python files the largest artifact has {total:,} bytes and fits"
    return make_verdict(rule, *facts.pass_if_all("model_bytes", message), "files", script)
