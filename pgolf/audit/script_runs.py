"""The audit of a run of somebody's script: its clocks, its files counted anew, and what its text looks like.

There is no ledger and no protocol of ours to probe; what only those would show stays unknown.
"""

from collections.abc import Iterator
from typing import Any

from pgolf.audit.code.reading import CHECKED
from pgolf.audit.code_verdicts import code_verdicts
from pgolf.audit.folder import merged
from pgolf.audit.verdicts import Verdict, make_verdict, sort_verdicts
from pgolf.findings import Severity
from pgolf.report.scripts import CLOCK_GRAIN_SECONDS
from pgolf.rulesets.ruleset import Ruleset
from pgolf.rundir import RunDirectory

NO_LEDGER = "a script's run keeps no score of each target; only its log says what it scored"


def audit_script_run(run: RunDirectory, ruleset: Ruleset, *, is_code_read: bool = True) -> list[Verdict]:
    """Every verdict that files, numbers and text allow on a finished run of a script.

    Raises: RunFailed when its result is not readable.
    """
    result = run.read_result()
    verdicts = [*artifact_verdicts(run, result), *clock_verdicts(result, ruleset)]
    verdicts.append(make_verdict("BPB-IDENTITY", "unknown", NO_LEDGER, "numbers"))
    if is_code_read:
        verdicts += code_verdicts(run.files.local, result.get("settings") or {})
    else:
        verdicts += [make_verdict(rule, "unknown", "the code was not read", "code") for rule in CHECKED]
    return sort_verdicts(merged(verdicts))


def artifact_verdicts(run: RunDirectory, result: dict[str, Any]) -> Iterator[Verdict]:
    """The packed model and all that was shipped, counted."""
    claimed, limit = result["artifact"], result["artifact"]["limit_bytes"]
    kept = {name: run.files.artifact / name for name in claimed["files"]}
    gone = [str(path) for path in kept.values() if not path.is_file()]
    if not kept or gone:
        words = f"{', '.join(gone)} is gone" if gone else "no packed model was found; only the log says how large it is"
        yield make_verdict("SIZE-CAP", "unknown", words, "files")
        return
    code = sum(path.stat().st_size for path in run.files.local.rglob("*") if path.is_file())
    model = sum(path.stat().st_size for path in kept.values())
    words = f"{model:,} bytes of model and {code:,} of code are {model + code:,} of {limit:,}"
    yield make_verdict("SIZE-CAP", "fail" if model + code > limit else "pass", words, "files", *map(str, kept))
    logged = claimed["logged_total_bytes"]
    if logged is not None:
        words = f"the log says {logged:,} bytes in all, the files have {model + code:,}"
        severity: Severity = "pass" if logged == model + code else "warn"
        yield make_verdict("SIZE-CODE-IS-SHIPPED-CODE", severity, words, "files")


def clock_verdicts(result: dict[str, Any], ruleset: Ruleset) -> Iterator[Verdict]:
    """Seconds as the log gives them, against both clocks."""
    for rule, key, limit in (
        ("TRAIN-600", "train_seconds", ruleset.train_seconds),
        ("EVAL-600", "evaluate_seconds", ruleset.evaluate_seconds),
    ):
        seconds = result["clock"].get(key)
        if seconds is None:
            yield make_verdict(rule, "unknown", f"its log does not give {key}", "numbers")
        else:
            words = f"{seconds:.1f} s of {limit:.0f}, as its log gives them"
            yield make_verdict(rule, "warn" if seconds > limit + CLOCK_GRAIN_SECONDS else "pass", words, "numbers")
    devices = ", ".join(result["hardware"]["devices"]) or "a CPU"
    if devices.count("H100") != 8:
        yield make_verdict("HARDWARE", "warn", f"ran on {devices}, not on {ruleset.hardware}", "files", "result.json")
