"""The audit of a run of a script: its files, the times in its log, and its source code.

Such a run has no ledger and no protocol that can be probed; what only these would show stays unknown.
"""

from collections.abc import Iterator

from pgolf.audit.code.reading import SIGNATURE_RULES
from pgolf.audit.code_verdicts import code_verdicts
from pgolf.audit.folder import merge_verdicts
from pgolf.audit.own_limits import own_limit_verdicts
from pgolf.audit.runs import SPLIT_RULES, data_of_run, limit_text, split_verdicts
from pgolf.audit.verdicts import Verdict, make_verdict, sort_verdicts
from pgolf.errors import DataError
from pgolf.findings import Severity
from pgolf.rulesets.judging import judge_seed
from pgolf.rulesets.limits import CONTEST_KIND, STEP_SECONDS, bytes_over, is_contest_machine, is_over_time
from pgolf.rulesets.ruleset import Ruleset
from pgolf.run_files import Result, RunDocument
from pgolf.run_limits import size_of_run
from pgolf.run_reading import read_any_result, read_present
from pgolf.rundir import RunDirectory

NO_LEDGER = "a script's run keeps no ledger of the score of each target"


def audit_script_run(run: RunDirectory, ruleset: Ruleset, *, is_code_read: bool = True) -> list[Verdict]:
    """Return the verdicts that files, log and code allow on a finished run of a script.

    Raises:
        RunDamaged: its documents cannot be read.
    """
    run.check_documents()
    result = read_any_result(run.files.result)
    verdicts = [*artifact_verdicts(run, result), *clock_verdicts(result, ruleset)]
    size = size_of_run(read_present(run.files.run, RunDocument), result, None)
    verdicts += own_limit_verdicts(
        ruleset, [size], judge_seed(ruleset, result["headline"]["val_loss"], size), "numbers"
    )
    verdicts.append(make_verdict("BPB-IDENTITY", "unknown", NO_LEDGER, "numbers"))
    verdicts += data_verdicts(run, ruleset)
    if is_code_read:
        verdicts += code_verdicts(run.files.local, result.get("settings") or {})
    else:
        verdicts += [make_verdict(rule, "unknown", "the code was not read", "code") for rule in SIGNATURE_RULES]
    return sort_verdicts(merge_verdicts(verdicts))


def data_verdicts(run: RunDirectory, ruleset: Ruleset) -> list[Verdict]:
    """Return the verdicts on the data that the spec names, if any; unknown where it is not on this machine."""
    if run.read_run().get("data_folder") is None:
        return []
    try:
        return [*split_verdicts(data_of_run(run), ruleset)]
    except (DataError, OSError) as error:
        return [make_verdict(rule, "unknown", str(error), "files") for rule in SPLIT_RULES]


def artifact_verdicts(run: RunDirectory, result: Result) -> Iterator[Verdict]:
    """Compare the bytes of the packed model and of all shipped files with the limit and with the log."""
    claimed, limit = result["artifact"], result["artifact"]["limit_bytes"]
    kept = {name: run.files.artifact / name for name in claimed["files"]}
    missing = [str(path) for path in kept.values() if not path.is_file()]
    if not kept or missing:
        message = f"{', '.join(missing)} does not exist" if missing else "no packed model was found to count"
        yield make_verdict("SIZE-CAP", "unknown", message, "files")
        return
    code = sum(path.stat().st_size for path in run.files.local.rglob("*") if path.is_file())
    if not code:
        yield make_verdict("SIZE-CAP", "unknown", f"{run.files.local} has no script to count", "files")
        return
    model = sum(path.stat().st_size for path in kept.values())
    message = f"{model:,} bytes of model and {code:,} of code are {model + code:,}; {limit_text(limit)}"
    yield make_verdict(
        "SIZE-CAP", "fail" if bytes_over(model + code, limit) else "pass", message, "files", *map(str, kept)
    )
    logged = claimed["logged_total_bytes"]
    if logged is not None:
        message = f"the log gives {logged:,} bytes in total; the files have {model + code:,}"
        severity: Severity = "pass" if logged == model + code else "warn"
        yield make_verdict("SIZE-CODE-IS-SHIPPED-CODE", severity, message, "files")


def clock_verdicts(result: Result, ruleset: Ruleset) -> Iterator[Verdict]:
    """Compare the seconds that the log gives with both limits."""
    for rule, key, limit in (
        ("TRAIN-600", "train_seconds", ruleset.limits.train_seconds),
        ("EVAL-600", "evaluate_seconds", ruleset.limits.evaluate_seconds),
    ):
        seconds = result["clock"].get(key)
        if limit is None:
            yield make_verdict(rule, "pass", f"{ruleset.label} sets no limit on {key}", "numbers")
            continue
        if seconds is None:
            yield make_verdict(rule, "unknown", f"the log does not give {key}", "numbers")
        else:
            message = f"the log gives {seconds:.1f} s; the limit is {limit:g} s"
            yield make_verdict(
                rule, "warn" if is_over_time(seconds, limit, STEP_SECONDS) else "pass", message, "numbers"
            )
    devices = result["hardware"]["devices"]
    if ruleset.hardware is not None and not is_contest_machine(devices, sum(CONTEST_KIND in name for name in devices)):
        machine = ", ".join(devices) or "a CPU"
        yield make_verdict("HARDWARE", "warn", f"ran on {machine}, not on {ruleset.hardware}", "files", "result.json")
