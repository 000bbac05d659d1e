"""Gates of time and machine."""

from collections.abc import Iterator

from pgolf.audit.facts import Facts
from pgolf.audit.verdicts import Verdict, settled
from pgolf.findings import Severity
from pgolf.records.problems import LATE_SECONDS
from pgolf.rulesets.ruleset import Ruleset


def clock_verdicts(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Both clocks, and the machine they are clocks of. Outside the record track they bind nobody."""
    yield training(facts, ruleset)
    words = "seconds of calibration are not told apart from those of training"
    yield settled("TRAIN-600-INCLUDES-CALIBRATION", "unknown", words, "numbers")
    yield evaluation(facts, ruleset)
    if (machine := hardware(facts)) is not None:
        yield machine


def over(facts: Facts) -> Severity:
    """What breaking a record's clock is."""
    return "fail" if facts.is_record else "warn"


def training(facts: Facts, ruleset: Ruleset) -> Verdict:
    """The longest training."""
    seconds = facts.of_runs("train_seconds")
    if not seconds:
        return settled("TRAIN-600", "unknown", "no log says how long training took", "numbers")
    longest = max(seconds)
    place = next(run.place for run in facts.runs if run.train_seconds == longest)
    words = f"training took {longest:.2f} s of {ruleset.train_seconds:.0f}"
    is_over = longest > ruleset.train_seconds + LATE_SECONDS
    if len(seconds) < len(facts.runs) and not is_over:
        return settled("TRAIN-600", "unknown", f"{words}, as far as the logs say", "numbers", place)
    return settled("TRAIN-600", over(facts) if is_over else "pass", words, "numbers", place)


def evaluation(facts: Facts, ruleset: Ruleset) -> Verdict:
    """The longest evaluation. A time of one evaluation of several proves only that a limit was broken."""
    limit, timed = ruleset.evaluate_seconds, [run for run in facts.runs if run.evaluate_seconds is not None]
    claimed = max(facts.claimed_evaluate_seconds, default=0.0)
    if claimed > limit:
        words = f"submission.json says {claimed:.1f} s of evaluation, the limit is {limit:.0f}"
        return settled("EVAL-600", over(facts), words, "numbers", "submission.json")
    if not timed:
        return settled("EVAL-600", "unknown", "no log says how long scoring took", "numbers")
    longest = max(timed, key=lambda run: run.evaluate_seconds or 0)
    words = f"scoring took {longest.evaluate_seconds:.1f} s of {limit:.0f}"
    if (longest.evaluate_seconds or 0) > limit:
        return settled("EVAL-600", over(facts), words, "numbers", longest.place)
    if len(timed) == len(facts.runs) and all(run.is_whole_evaluation for run in timed):
        return settled("EVAL-600", "pass", words, "numbers", longest.place)
    words += "; whether that is all that stands behind the score the logs do not say"
    return settled("EVAL-600", "unknown", words, "numbers", longest.place)


def hardware(facts: Facts) -> Verdict | None:
    """Whether the logs show another machine than the contest's."""
    for run in facts.runs:
        is_other = run.gpus and not any("H100" in gpu for gpu in run.gpus)
        if is_other or (run.processes or 8) != 8:
            machine = ", ".join(run.gpus) or f"{run.processes} processes"
            return settled("HARDWARE", over(facts), f"ran on {machine}", "numbers", run.place)
    if any("H100" in gpu for run in facts.runs for gpu in run.gpus):
        return settled("HARDWARE", "unknown", "H100, as the logs say; of which kind they do not", "numbers")
    return settled("HARDWARE", "unknown", "no log names the GPU", "numbers")
