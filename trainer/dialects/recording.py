"""What one line of a log says of its run: scores, sizes, progress, settings."""

import re
from dataclasses import replace

from trainer.dialects.logged import LoggedRun, NotFinite
from trainer.dialects.plain import TooLong
from trainer.dialects.scores import (
    BITS,
    NUMBER,
    SCORE,
    SEED_OF_SCORE,
    STEP,
    SUMMARY,
    in_seconds,
    integer,
    score,
    scores_of,
)
from trainer.dialects.settings import record_setting
from trainer.dialects.sizes import BYTES, size_of

MAX_SCORES = 5_000
NO_LOSS = re.compile(r"\b(?:train_loss|val_loss|loss)\s{0,9}[:= ]\s{0,9}[-+]?(?:nan|inf)", re.IGNORECASE)
STEP_LOSS = re.compile(rf"train_loss\s*[:=]\s*{NUMBER}|\bloss {NUMBER}")
STEP_TIME = re.compile(rf"train_time\s*:\s*{NUMBER}\s*(ms|m|s)\b")
TOTAL_EVAL = re.compile(rf"^total_eval_time\s*:\s*{NUMBER}\s*s")
STOP = re.compile(r"^stopping_early: wallclock_cap train_time:\s*(\d{1,15})ms step:\s*(\d{1,12})/(\d{1,12})")
STOP_SENTENCE = re.compile(r"^Stopping early at step (\d{1,12})\b")
TRAINED_SENTENCE = re.compile(rf"^Training complete in {NUMBER}s")
# Numbers that may be scores, and other numbers, which differ between seeds.
MENTIONED = re.compile(r"(?<![\w.])\d\.\d{3,18}(?![\w.%])")
DIGITS = re.compile(r"(?<![A-Za-z\d.])\d{2,}(?![\d.])|(?<=_)\d{1,10}(?=_)|\d+\.\d(?=s\b)")
COMMENT = re.compile(r"\s*(?:#|//|def |import |from |print\(|return )")
# Words that no line with a result has, however it is worded.
NEVER_RESULT = re.compile(
    r"oracle|train_?bpb|bpb_?train|train shard|target|project|estimat|\bbound\b|(?:token|unigram)_bpb|not scored"
    r"|running|\d/\d|warm-?up|best chunk|multi-pass|first \w+ tokens",
    re.IGNORECASE,
)
MAX_WORDS, MAX_MENTIONS = 120, 400
MODEL = re.compile(rf"^Serialized model\b([^:]*):\s*{BYTES}")
CODE = re.compile(rf"^Code size\b([^:]*):\s*{BYTES}")
INFORMATIVE = re.compile(
    r"val_loss|[bB][pP][bB]|[bB]its|bytes|code:|otal|rtifact|size|step|topping|Training complete|total_eval|train_"
    r"|params|orld|GPUs|wall|tokens|SEED|eed|\d/\d|H100|H200|A100|L40S|L4\b|T4\b|B200|RTX|GH200"
    r"|Hyperparameters|^\s{1,8}[a-z][a-z0-9_]{1,40}: \S"
)
"""Words of which every informative line has at least one."""


def record_line(run: LoggedRun, line: str, number: int) -> None:
    """Record in the run what the line says.

    Raises:
        TooLong: the run has more than MAX_SCORES scores.
    """
    if found := STEP.match(line):
        record_step(run, int(found[1]), line, number)
        return
    if BITS.search(line):
        record_mentions(run, line, number)
    if (scores := scores_of(line, number)) and is_of_run(run, line, number):
        run.scores += scores
        if len(run.scores) > MAX_SCORES:
            raise TooLong(f"{run.file} prints more than {MAX_SCORES:,} scores of one run")
    if size := size_of(line, number):
        if size.kind != "artifact" or not run.sizes or run.sizes[-1].total != size.total:  # else a summary repeats it
            run.sizes.append(size)
    elif scores or record_progress(run, line, number) or record_bytes(run, line, number):
        return
    else:
        record_setting(run, line, number)


def record_mentions(run: LoggedRun, line: str, number: int) -> None:
    """Record the numbers of a line about bits per byte: a claim may name one that no dialect reads as a score."""
    if COMMENT.match(line) or SUMMARY.match(line) or NEVER_RESULT.search(line):
        return
    words = MENTIONED.sub("#", DIGITS.sub("0", line)[:MAX_WORDS]).strip()
    for place, found in enumerate(MENTIONED.finditer(line)):
        mention = score(words, None, found[0], line, "", number)
        if mention.stage != "prequant" and len(run.mentioned) < MAX_MENTIONS:
            run.mentioned[f"{words} {place}"] = mention


def is_of_run(run: LoggedRun, line: str, number: int) -> bool:
    """Return whether the scores in a line are the run's: a seed that the line names must be that of the run.

    A run of unknown seed gets the seed that its score names.
    """
    found = SEED_OF_SCORE.search(line)
    if found is None:
        return True
    if run.seed is None and run.named_seed is None:
        run.seed, run.seed_line = int(found[1]), number
    return int(found[1]) in (run.seed, run.named_seed)


def record_progress(run: LoggedRun, line: str, number: int) -> bool:
    """Record a line about the end of training or its time; return whether the line was one."""
    if found := STOP.match(line):
        run.stopped = int(found[1]), int(found[2])
        run.train_seconds, run.step = int(found[1]) / 1000, int(found[2])
        run.lines |= {"train_seconds": number, "step": number}
    elif found := STOP_SENTENCE.match(line):
        run.step = int(found[1])
        run.lines["step"] = number
    elif found := TRAINED_SENTENCE.match(line):
        run.train_seconds = float(found[1])
        run.lines["train_seconds"] = number
    elif found := TOTAL_EVAL.match(line):
        run.total_eval_seconds = float(found[1])
        run.lines["total_eval_seconds"] = number
    else:
        return False
    return True


def record_step(run: LoggedRun, step: int, line: str, number: int) -> None:
    """Record time, loss and validation of a training step."""
    if time := STEP_TIME.search(line):
        run.has_minutes |= time[2] == "m"
        if run.stopped is None:
            run.step, run.train_seconds = step, in_seconds(*time.groups())
            run.times.append((step, run.train_seconds))
            run.lines |= {"train_seconds": number, "step": number}
    if loss := STEP_LOSS.search(line):
        run.curve.append((step, float(loss[1] or loss[2])))
    if found := SCORE.search(line):
        run.validations.append((step, float(found[1]), float(found[2])))
        if step and float(found[2]) > 0:
            run.last_validation = score("last_step_validation", found[1], found[2], line, "", number)
    if NO_LOSS.search(line):
        before = run.not_finite
        first, count = (step, 1) if before is None else (before.first, before.count + 1)
        run.not_finite = NotFinite(first, step, count, is_at_end=True)
    elif run.not_finite is not None and (loss or found):
        run.not_finite = replace(run.not_finite, is_at_end=False)


def record_bytes(run: LoggedRun, line: str, number: int) -> bool:
    """Record a line about a part of the artifact; return whether the line was one."""
    if found := MODEL.match(line):
        if found[1].strip():
            run.model_bytes = integer(found[2])
            run.lines["model_bytes"] = number
        else:
            run.unpacked_bytes = integer(found[2])
    elif found := CODE.match(line):
        if "uncompressed" not in found[1]:
            run.code_bytes = integer(found[2])
            run.lines["code_bytes"] = number
            run.is_code_compressed = "compressed" in found[1]
    else:
        return False
    return True
