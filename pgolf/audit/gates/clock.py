"""Gates of the clocks and of the hardware that they are measured on."""

from collections.abc import Iterator

from pgolf.audit.facts import Facts
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.findings import counted
from pgolf.rulesets.limits import CONTEST_GPUS, CONTEST_KIND, STEP_SECONDS, is_contest_machine, is_over_time
from pgolf.rulesets.ruleset import Ruleset

CONTEST_MACHINE = f"{CONTEST_GPUS}x{CONTEST_KIND}"
# No evaluation takes so many seconds; a claim of as many is in milliseconds.
SURELY_MILLISECONDS = 100_000


def clock_verdicts(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Yield the verdicts on both clocks and on the hardware; they hold on the 10-minute track only."""
    if not facts.track.has_limits:
        for rule, what in (("TRAIN-600", "training time"), ("EVAL-600", "evaluation time"), ("HARDWARE", "hardware")):
            yield make_verdict(rule, "pass", f"the non-record track has no limit on {what}", "files")
        return
    yield check_training(facts, ruleset)
    if ruleset.limits.train_seconds is not None:
        message = "the logs do not give the seconds of calibration separately from those of training"
        yield make_verdict("TRAIN-600-INCLUDES-CALIBRATION", "unknown", message, "numbers")
    yield check_evaluation(facts, ruleset)
    yield check_hardware(facts, ruleset)


def check_training(facts: Facts, ruleset: Ruleset) -> Verdict:
    """Compare the longest training with the limit.

    The clock is read between steps, and organizers have accepted a record of 600.37 s: up to a second is a warning.
    """
    seconds, limit = facts.run_values("train_seconds"), ruleset.limits.train_seconds
    if limit is None:
        return make_verdict("TRAIN-600", "pass", f"{ruleset.label} sets no limit of training time", "numbers")
    if not seconds:
        return make_verdict("TRAIN-600", "unknown", "no log gives the training time", "numbers")
    over = [run for run in facts.runs if is_over_time(run.train_seconds, limit, run.late_seconds)]
    longest = max(over or facts.runs, key=lambda run: run.train_seconds or 0)
    log, is_over = longest.log, bool(over)
    message = f"training took {longest.train_seconds:.2f} s; the limit is {limit:g} s"
    if len(seconds) < len(facts.runs) and not is_over:
        return make_verdict("TRAIN-600", "unknown", f"{message}; some logs give no training time", "numbers", log)
    if is_over and not is_over_time(longest.train_seconds, limit, STEP_SECONDS):
        message += f"; up to {STEP_SECONDS:.0f} s more may be the step in which the time ran out"
        return make_verdict("TRAIN-600", "warn", message, "numbers", log)
    return make_verdict("TRAIN-600", facts.track.severity if is_over else "pass", message, "numbers", log)


def check_evaluation(facts: Facts, ruleset: Ruleset) -> Verdict:
    """Compare the longest evaluation with the limit.

    Where a log times only one of several evaluations, its seconds can show a violation but no compliance.
    """
    limit, timed = ruleset.limits.evaluate_seconds, [run for run in facts.runs if run.evaluate_seconds is not None]
    if limit is None:
        return make_verdict("EVAL-600", "pass", f"{ruleset.label} sets no limit of evaluation time", "numbers")
    claimed = max(facts.claimed_evaluate_seconds, default=0.0)
    if is_over_time(claimed, limit):
        message = f"submission.json claims {claimed:,.1f} s of evaluation; the limit is {limit:g} s"
        if claimed >= SURELY_MILLISECONDS:
            return make_verdict("EVAL-600", "warn", f"{message}; it may be milliseconds", "numbers", "submission.json")
        return make_verdict("EVAL-600", facts.track.severity, message, "numbers", "submission.json")
    if not timed:
        return make_verdict("EVAL-600", "unknown", "no log gives the evaluation time", "numbers")
    longest = max(timed, key=lambda run: run.evaluate_seconds or 0)
    message = f"evaluation took {longest.evaluate_seconds:.1f} s; the limit is {limit:g} s"
    if is_over_time(longest.evaluate_seconds, limit):
        return make_verdict("EVAL-600", facts.track.severity, message, "numbers", longest.log)
    if len(timed) == len(facts.runs) and all(run.is_whole_evaluation for run in timed):
        return make_verdict("EVAL-600", "pass", message, "numbers", longest.log)
    message += "; the logs do not show whether that is the time of everything behind the score"
    return make_verdict("EVAL-600", "unknown", message, "numbers", longest.log)


def check_hardware(facts: Facts, ruleset: Ruleset) -> Verdict:
    """Look in the logs for a machine other than Parameter Golf's; which kind of H100 it was they do not show.

    Where the author states the contest's machine, a log of another one is a warning: it may be that of a later test.
    Logs are not compared with another machine that a ruleset of your own asks for.
    """
    if ruleset.hardware is None:
        return make_verdict("HARDWARE", "pass", f"{ruleset.label} asks for no machine", "numbers")
    if not ruleset.hardware.startswith(CONTEST_MACHINE):
        seen = ", ".join(sorted({gpu for run in facts.runs for gpu in run.gpus})) or "no GPU"
        message = f"{ruleset.label} asks for {ruleset.hardware}; the logs name {seen}"
        return make_verdict("HARDWARE", "unknown", message, "numbers")
    for run in facts.runs:
        if is_contest_machine(run.gpus, run.processes) is False:
            machine = ", ".join(run.gpus) or counted(run.processes or 0, "process")
            message, severity = f"ran on {machine}", facts.track.severity
            if facts.is_machine_stated:
                message, severity = f"{message}; the author states {CONTEST_MACHINE}", "warn"
            return make_verdict("HARDWARE", severity, message, "numbers", run.log)
    if any(CONTEST_KIND in gpu for run in facts.runs for gpu in run.gpus):
        return make_verdict("HARDWARE", "unknown", "the logs name H100 but not its kind", "numbers")
    return make_verdict("HARDWARE", "unknown", "no log names the GPU", "numbers")
