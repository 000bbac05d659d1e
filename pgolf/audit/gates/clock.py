"""Gates of the clocks and of the hardware that they are measured on."""

from collections.abc import Iterator

from pgolf.audit.facts import Facts
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.findings import Severity, counted
from pgolf.rulesets.limits import CONTEST_KIND, LATE_SECONDS, is_contest_machine, is_over_time
from pgolf.rulesets.ruleset import Ruleset


def clock_verdicts(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Yield the verdicts on both clocks and on the hardware, which are binding on the record track only."""
    yield check_training(facts, ruleset)
    message = "the logs do not give the seconds of calibration separately from those of training"
    yield make_verdict("TRAIN-600-INCLUDES-CALIBRATION", "unknown", message, "numbers")
    yield check_evaluation(facts, ruleset)
    yield check_hardware(facts)


def violation_severity(facts: Facts) -> Severity:
    """Return how a broken clock counts: fail for a record, warn for other submissions."""
    return "fail" if facts.is_record else "warn"


def check_training(facts: Facts, ruleset: Ruleset) -> Verdict:
    """Compare the longest training with the limit."""
    seconds = facts.run_values("train_seconds")
    if not seconds:
        return make_verdict("TRAIN-600", "unknown", "no log gives the training time", "numbers")
    longest = max(seconds)
    log = next(run.log for run in facts.runs if run.train_seconds == longest)
    message = f"training took {longest:.2f} s; the limit is {ruleset.train_seconds:.0f} s"
    is_over = is_over_time(longest, ruleset.train_seconds, LATE_SECONDS)
    if len(seconds) < len(facts.runs) and not is_over:
        return make_verdict("TRAIN-600", "unknown", f"{message}; some logs give no training time", "numbers", log)
    return make_verdict("TRAIN-600", violation_severity(facts) if is_over else "pass", message, "numbers", log)


def check_evaluation(facts: Facts, ruleset: Ruleset) -> Verdict:
    """Compare the longest evaluation with the limit.

    Where a log times only one of several evaluations, its seconds can show a violation but no compliance.
    """
    limit, timed = ruleset.evaluate_seconds, [run for run in facts.runs if run.evaluate_seconds is not None]
    claimed = max(facts.claimed_evaluate_seconds, default=0.0)
    if is_over_time(claimed, limit):
        message = f"submission.json claims {claimed:.1f} s of evaluation; the limit is {limit:.0f} s"
        return make_verdict("EVAL-600", violation_severity(facts), message, "numbers", "submission.json")
    if not timed:
        return make_verdict("EVAL-600", "unknown", "no log gives the evaluation time", "numbers")
    longest = max(timed, key=lambda run: run.evaluate_seconds or 0)
    message = f"evaluation took {longest.evaluate_seconds:.1f} s; the limit is {limit:.0f} s"
    if is_over_time(longest.evaluate_seconds, limit):
        return make_verdict("EVAL-600", violation_severity(facts), message, "numbers", longest.log)
    if len(timed) == len(facts.runs) and all(run.is_whole_evaluation for run in timed):
        return make_verdict("EVAL-600", "pass", message, "numbers", longest.log)
    message += "; the logs do not show whether that is the time of everything behind the score"
    return make_verdict("EVAL-600", "unknown", message, "numbers", longest.log)


def check_hardware(facts: Facts) -> Verdict:
    """Look in the logs for a machine other than the contest's; which kind of H100 it was they do not show."""
    for run in facts.runs:
        if is_contest_machine(run.gpus, run.processes) is False:
            machine = ", ".join(run.gpus) or counted(run.processes or 0, "process")
            return make_verdict("HARDWARE", violation_severity(facts), f"ran on {machine}", "numbers", run.log)
    if any(CONTEST_KIND in gpu for run in facts.runs for gpu in run.gpus):
        return make_verdict("HARDWARE", "unknown", "the logs name H100 but not its kind", "numbers")
    return make_verdict("HARDWARE", "unknown", "no log names the GPU", "numbers")
