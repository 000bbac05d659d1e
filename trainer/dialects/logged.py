"""Runs read from public logs; a log may hold none, one, several, or the same one twice."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainer.dialects.plain import TooLong
from trainer.dialects.scores import CODE_LINE, NUMBER, SCORE, STEP, Score, in_seconds, integer, score, scores_of
from trainer.dialects.sizes import BYTES, Size, size_of

# `s1` is the first stage, or the first shard; `s42` is a seed.
SEED_IN_NAME = re.compile(
    r"seed[_-]?(\d{1,10})|(?:^|[_-])(\d{1,10})[_-]seed(?![a-z])|(?:^|[_-])s(\d{2,10})(?:[_.-]|$)"
    r"|^(?:log|run|train|eval|out)[_-](\d{1,10})$",
    re.IGNORECASE,
)
MAX_RUNS, MAX_SCORES = 500, 5_000
HEADER_STARTS = ("Hyperparameters", "train_loader:", "model_params:", "seed:")
# Names in a hyperparameter dump whose values differ between seeds anyway.
SEED_SPECIFIC = re.compile(
    r"(?:local_|global_)?rank|run_id|(?:\w+_)?(?:seed|path|dir|file|logfile|hostname|host|port|date|time|timestamp|name)s?"
)

NO_LOSS = re.compile(r"\b(?:train_loss|val_loss|loss)\s{0,9}[:= ]\s{0,9}[-+]?(?:nan|inf)", re.IGNORECASE)
STEP_TIME = re.compile(rf"train_time\s*:\s*{NUMBER}\s*(ms|m|s)\b")
TOTAL_EVAL = re.compile(rf"^total_eval_time\s*:\s*{NUMBER}\s*s")
STOP = re.compile(r"^stopping_early: wallclock_cap train_time:\s*(\d{1,15})ms step:\s*(\d{1,12})/(\d{1,12})")
STOP_SENTENCE = re.compile(r"^Stopping early at step (\d{1,12})\b")
TRAINED_SENTENCE = re.compile(rf"^Training complete in {NUMBER}s")
MODEL = re.compile(rf"^Serialized model\b([^:]*):\s*{BYTES}")
CODE = re.compile(rf"^Code size\b([^:]*):\s*{BYTES}")
PARAMETERS = re.compile(r"(?:^|\s)(?:model_params|Total params)\s*:\s*(\d[\d,]{0,17})\b")
WORLD = re.compile(r"(?:world_size\s*:|World size:|GPUs=)\s*(\d{1,6})\b")
BATCH_TOKENS = re.compile(r"\btrain_batch_tokens\s*[:=]\s*(\d[\d,]{0,17})\b")
WALL = re.compile(rf"(?:max_wallclock_seconds\s*:|\bwall:|wallclock=)\s*{NUMBER}")
TOKENS = re.compile(
    r"(?:val_loader:shards pattern=\S+ tokens:|^\s*val_tokens:|^Validation tokens:)\s*(\d[\d,]{0,17})\b"
)
TRAIN_SHARDS = re.compile(r"\btrain_shards\s*[:=]\s*(\d{1,9})\b")
ADAPTED_IN_WINDOWS = re.compile(r"^ttt_sliding:start\b.*\bstride=\d+")
BANNER = re.compile(r"^=+ SEED (\d{1,10}) =+$")
SEED_LINE = re.compile(r"(?:^|[\s,])[Ss]eed\s*[:=]\s*(\d{1,10})(?![\d.])")
GPU = re.compile(r"\b(H100|H200|A100|L40S|L4|T4|B200|RTX [A-Z]*\s?\d+[A-Za-z ]{0,8}|GH200)\b")
SETTING = re.compile(r"^\s{1,8}([a-z][a-z0-9_]{1,40}): (\S.{0,200})$")
HEADER = re.compile(r"^val_bpb:(?:enabled|byte_sidecar)")
INFORMATIVE = re.compile(
    r"val_loss|[bB][pP][bB]|bytes|code:|otal|rtifact|size|step|topping|Training complete|total_eval|train_|params"
    r"|orld|GPUs|wall|tokens|SEED|eed|\d/\d|H100|H200|A100|L40S|L4\b|T4\b|B200|RTX|GH200"
    r"|Hyperparameters|^\s{1,8}[a-z][a-z0-9_]{1,40}: \S"
)
"""Words of which every informative line has at least one."""


@dataclass(frozen=True, slots=True)
class NotFinite:
    """Logged training steps whose loss is not a finite number."""

    first: int
    last: int
    count: int
    is_at_end: bool
    """Whether the last logged loss is one of them."""

    def describe(self) -> str:
        """Return what to say of them."""
        if self.is_at_end:
            return f"the loss is not a number from step {self.first} on"
        if self.count == 1:
            return f"the loss is not a number at step {self.first}"
        return f"the loss is not a number at {self.count:,} logged steps, from {self.first} to {self.last}"


@dataclass(slots=True)
class LoggedRun:
    """One run as its log describes it."""

    file: str
    """Path of the log, relative to the folder of the record."""
    first_line: int
    seed: int | None = None
    seed_line: int = 0
    parameters: int | None = None
    world_size: int | None = None
    gpus: set[str] = field(default_factory=set)
    wallclock_limit: float | None = None
    validation_tokens: int | None = None
    train_shards: int | None = None
    adapts_in_windows: bool = False
    """Whether the log says that test-time training uses sliding windows."""
    settings: dict[str, str] = field(default_factory=dict)
    step: int | None = None
    train_seconds: float | None = None
    has_minutes: bool = False
    stopped: tuple[int, int] | None = None
    """Milliseconds and step of the line that reports an early stop."""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """Step and training loss in nats of each logged training step."""
    not_finite: NotFinite | None = None
    """Training steps whose logged loss is nan or infinite, which `curve` leaves out."""
    validations: list[tuple[int, float, float]] = field(default_factory=list)
    """Step, validation loss in nats and bits per byte of each validation during training."""
    last_validation: Score | None = None
    """The last of them after step 0, as a score before packing."""
    batch_tokens: int | None = None
    """Tokens per step."""
    scores: list[Score] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    model_bytes: int | None = None
    """Size of the last packed model."""
    unpacked_bytes: int | None = None
    """Size of the model before packing."""
    code_bytes: int | None = None
    is_code_compressed: bool = False
    total_eval_seconds: float | None = None
    copies: int = 1
    """Number of times this file prints the run."""

    @property
    def is_evaluation(self) -> bool:
        """Return whether the log has no training step, only an evaluation."""
        return self.step is None and self.stopped is None and not self.curve

    @property
    def has_scores(self) -> bool:
        """Return whether the run has a score; without one it is only a header or a summary."""
        return bool(self.scores)

    @property
    def named_seed(self) -> int | None:
        """Seed in the name of the file, if there is one."""
        found = SEED_IN_NAME.search(Path(self.file).stem)
        return None if found is None else int(next(filter(None, found.groups())))

    @property
    def identity(self) -> tuple[object, ...]:
        """Values that are equal in two prints of the same run."""
        return (self.seed, self.parameters, self.stopped or (self.step, self.train_seconds), self.first_packed)

    @property
    def first_packed(self) -> tuple[float, ...]:
        """First score of the packed model, which every print of a run has."""
        packed = [score.val_bpb for score in self.scores if score.stage != "prequant" and score.decimals > 4]
        return tuple(packed[:1])

    @property
    def size(self) -> Size | None:
        """Size of the submission: the last size printed, other than a total of the unpacked model."""
        packed = [size for size in self.sizes if not self.is_unpacked(size)]
        return packed[-1] if packed else self.sizes[-1] if self.sizes else None

    def is_unpacked(self, size: Size) -> bool:
        """Return whether a size is that of the model before packing: a total without label, or one as large as it.

        A total without label counts where the model before packing is known to be larger.
        """
        if size.kind != "total" or size.label:
            return False
        return self.unpacked_bytes is None or size.total >= self.unpacked_bytes

    @property
    def packed_bytes(self) -> int | None:
        """Bytes of the packed model, from the line of the total or else from the last line about a packed model."""
        size = self.size
        if size is None:
            return None
        if size.kind == "artifact":
            return size.total
        return self.model_bytes if size.model is None else size.model


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
        if run.scores and is_header(line) and any(score.stage != "prequant" for score in run.scores):
            run = LoggedRun(file, number)
            runs.append(run)
            if len(runs) > MAX_RUNS:
                raise TooLong(f"{file} prints more than {MAX_RUNS:,} runs")
        record_line(run, line, number)
    for run in runs:
        if run.seed is None:
            run.seed = run.named_seed
    return runs


def is_header(line: str) -> bool:
    """Return whether a line occurs only at the beginning of a run."""
    return bool(HEADER.match(line) or BANNER.match(line) or line.startswith(HEADER_STARTS))


def record_line(run: LoggedRun, line: str, number: int) -> None:
    """Record in the run what the line says.

    Raises:
        TooLong: the run has more than MAX_SCORES scores.
    """
    if scores := scores_of(line, number):
        run.scores += scores
        if len(run.scores) > MAX_SCORES:
            raise TooLong(f"{run.file} prints more than {MAX_SCORES:,} scores of one run")
    if size := size_of(line, number):
        run.sizes.append(size)
    elif scores or record_progress(run, line, number) or record_bytes(run, line):
        return
    else:
        record_setting(run, line, number)


def record_progress(run: LoggedRun, line: str, number: int) -> bool:
    """Record a line about steps or time; return whether the line was one."""
    if found := STOP.match(line):
        run.stopped = int(found[1]), int(found[2])
        run.train_seconds, run.step = int(found[1]) / 1000, int(found[2])
    elif found := STOP_SENTENCE.match(line):
        run.step = int(found[1])
    elif found := TRAINED_SENTENCE.match(line):
        run.train_seconds = float(found[1])
    elif found := TOTAL_EVAL.match(line):
        run.total_eval_seconds = float(found[1])
    elif found := STEP.match(line):
        record_step(run, int(found[1]), line, number)
    else:
        return False
    return True


def record_step(run: LoggedRun, step: int, line: str, number: int) -> None:
    """Record time, loss and validation of a training step."""
    if time := STEP_TIME.search(line):
        run.has_minutes |= time[2] == "m"
        if run.stopped is None:
            run.step, run.train_seconds = step, in_seconds(*time.groups())
    if loss := re.search(rf"train_loss\s*[:=]\s*{NUMBER}|\bloss {NUMBER}", line):
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


def record_bytes(run: LoggedRun, line: str) -> bool:
    """Record a line about a part of the artifact; return whether the line was one."""
    if found := MODEL.match(line):
        if found[1].strip():
            run.model_bytes = integer(found[2])
        else:
            run.unpacked_bytes = integer(found[2])
    elif found := CODE.match(line):
        if "uncompressed" not in found[1]:
            run.code_bytes = integer(found[2])
            run.is_code_compressed = "compressed" in found[1]
    else:
        return False
    return True


def record_setting(run: LoggedRun, line: str, number: int) -> None:
    """Record seed, sizes and other settings that the line gives."""
    is_code = bool(CODE_LINE.search(line))
    record_seed(run, line, number)
    if found := PARAMETERS.search(line):
        run.parameters = run.parameters or integer(found[1])
    if found := WORLD.search(line):
        run.world_size = int(found[1])
    if found := BATCH_TOKENS.search(line):
        run.batch_tokens = integer(found[1])
    if found := WALL.search(line):
        run.wallclock_limit = float(found[1])
    if found := TOKENS.search(line):
        run.validation_tokens = integer(found[1])
    run.adapts_in_windows |= bool(ADAPTED_IN_WINDOWS.match(line))
    if found := TRAIN_SHARDS.search(line):
        run.train_shards = int(found[1])
    if not is_code and (found := GPU.search(line)):
        run.gpus.add(found[1].strip())
    if (found := SETTING.match(line)) and not SEED_SPECIFIC.fullmatch(found[1]):
        run.settings[found[1]] = found[2].strip()


def record_seed(run: LoggedRun, line: str, number: int) -> None:
    """Record the first seed that a run prints, or that of a banner between runs."""
    if banner := BANNER.match(line):
        run.seed, run.seed_line = int(banner[1]), number
    elif run.seed is None and CODE_LINE.search(line) is None and (seed := logged_seed(line)) is not None:
        run.seed, run.seed_line = seed, number


def logged_seed(line: str) -> int | None:
    """Return the seed of a run that a line gives as a setting.

    Assignments in indented code, arguments in a signature and what a component says of itself in brackets are none.
    """
    found = SEED_LINE.search(line)
    if found is None:
        return None
    before, after = line[: found.start()], line[found.end() :]
    is_bracketed = before.count("(") > before.count(")") or after.count(")") > after.count("(")
    is_assigned = line[0].isspace() and "=" in found[0]
    return None if is_bracketed or is_assigned else int(found[1])


def merge(run: LoggedRun, again: LoggedRun) -> None:
    """Add to a run what a second print of it has and the first one lacks."""
    known = {(score.label, score.val_bpb) for score in run.scores}
    new = [score for score in again.scores if (score.label, score.val_bpb) not in known]
    run.scores += new if again.file == run.file else [replace(score, file=again.file) for score in new]
    run.sizes += [size for size in again.sizes if size.total not in {each.total for each in run.sizes}]
    run.gpus |= again.gpus
    run.copies += again.copies
