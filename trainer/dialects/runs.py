"""The runs in a public log, which may hold none, one, several, or the same one twice."""

import re

from trainer.dialects.logged import LoggedRun
from trainer.dialects.plain import TooLong
from trainer.dialects.recording import INFORMATIVE, record_line
from trainer.dialects.scores import CODE_LINE, SEED_OF_SCORE, STEP, scores_of
from trainer.dialects.settings import BANNER, logged_seed

MAX_RUNS = 500
HEADER_STARTS = ("Hyperparameters", "train_loader:", "model_params:", "seed:")
HEADER = re.compile(r"^val_bpb:(?:enabled|byte_sidecar)")


def split_runs(text: list[str], file: str) -> list[LoggedRun]:
    """Return the runs with a score in the order in which a log prints them.

    If none has a score, those that were validated during training have the last validation as their score.

    Raises:
        TooLong: there are more than MAX_RUNS runs, or more than MAX_SCORES scores in one.
    """
    runs = every_run(text, file)
    if not any(run.has_scores for run in runs):
        for run in runs:
            run.scores = [] if run.last_validation is None else [run.last_validation]
    return [run for run in runs if run.has_scores]


def every_run(text: list[str], file: str) -> list[LoggedRun]:
    """Return the runs in the order in which a log prints them. A header after a score begins a new run.

    Raises:
        TooLong: there are more than MAX_RUNS runs, or more than MAX_SCORES scores in one.
    """
    runs = [LoggedRun(file, 1)]
    for number, line in enumerate(text, start=1):
        if INFORMATIVE.search(line) is None:
            continue
        run = runs[-1]
        if begins_run(run, line):
            run = LoggedRun(file, number)
            runs.append(run)
            if len(runs) > MAX_RUNS:
                raise TooLong(f"{file} prints more than {MAX_RUNS:,} runs")
        record_line(run, line, number)
    for run in runs:
        if run.seed is None:
            run.seed = run.named_seed
    return runs


def begins_run(run: LoggedRun, line: str) -> bool:
    """Return whether a line after a score of the packed model begins another run: a header, a seed, an earlier step.

    In a summary of several runs, that is a score of another seed.
    """
    if not any(score.stage != "prequant" for score in run.scores):
        return False
    if is_header(line):
        return True
    if (
        run.is_evaluation
        and run.named_seed is None
        and (named := SEED_OF_SCORE.search(line))
        and int(named[1]) != run.seed
    ):
        return bool(scores_of(line, 0))
    if line.lstrip()[:4].lower() == "seed" and CODE_LINE.search(line) is None:
        return logged_seed(line) not in (None, run.seed)
    step = STEP.match(line) if "train_loss" in line else None
    return step is not None and run.step is not None and int(step[1]) < run.step


def is_header(line: str) -> bool:
    """Return whether a line occurs only at the beginning of a run."""
    return bool(HEADER.match(line) or BANNER.match(line) or line.startswith(HEADER_STARTS))
