"""Public logs as runs: one file may hold none, one, several, or the same one twice."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from pgolf.report.records import lines as say
from pgolf.report.records.lines import Score, Size
from pgolf.report.records.text import TooLong, plain, read_log

SEED_IN_NAME = re.compile(
    r"seed[_-]?(\d{1,10})|(?:^|[_-])s(\d{1,10})(?:[_.-]|$)|^(?:log|run|train|eval|out)[_-](\d{1,10})$", re.IGNORECASE
)
MOST_RUNS, MOST_SCORES = 500, 5_000
BEGINNINGS = ("Hyperparameters", "train_loader:", "model_params:", "seed:")
# Of a hyperparameter dump: what differs between seeds by nature.
PRIVATE = re.compile(r"seed|path|dir|file|run_id|logfile|rank|port|host|time|date|name")


@dataclass(slots=True)
class LoggedRun:
    """What a log says of one run."""

    file: str
    """Relative to the record's folder."""
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
    """Whether test-time training is said to go over sliding windows."""
    settings: dict[str, str] = field(default_factory=dict)
    step: int | None = None
    train_seconds: float | None = None
    has_minutes: bool = False
    stopped: tuple[int, int] | None = None
    """Milliseconds and step of the stop line."""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """Steps with the training loss, or else the validation loss, in nats."""
    scores: list[Score] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    model_bytes: int | None = None
    """Of the last packed model."""
    code_bytes: int | None = None
    is_code_compressed: bool = False
    total_eval_seconds: float | None = None
    copies: int = 1
    """How often this file prints the run."""

    @property
    def is_evaluation(self) -> bool:
        """Whether this is a log of an evaluation alone: it has scores, and no step."""
        return self.step is None and self.stopped is None and not self.curve

    @property
    def is_something(self) -> bool:
        """Whether this is a run, and not a header or a summary."""
        return bool(self.scores)

    @property
    def named_seed(self) -> int | None:
        """The seed in the file's name."""
        found = SEED_IN_NAME.search(Path(self.file).stem)
        return None if found is None else int(found[1] or found[2] or found[3])

    @property
    def identity(self) -> tuple[object, ...]:
        """What two prints of the same run have in common."""
        return (self.seed, self.parameters, self.stopped or (self.step, self.train_seconds), self.first_packed)

    @property
    def first_packed(self) -> tuple[float, ...]:
        """The first score of the packed model, which every print of a run has."""
        packed = [score.val_bpb for score in self.scores if score.stage != "prequant" and score.decimals > 4]
        return tuple(packed[:1])

    @property
    def size(self) -> Size | None:
        """What was handed in: the last labelled total, else the last there is."""
        labelled = [size for size in self.sizes if size.kind != "total" or size.label]
        candidates = labelled or self.sizes
        return candidates[-1] if candidates else None


def runs_in(path: Path, root: Path) -> tuple[list[LoggedRun], bool, int]:
    """The runs that a log prints, each once; whether it was UTF-16; and its bytes.

    Raises: TooLong, OSError.
    """
    text, is_utf16, size = read_log(path)
    found = split_runs(text, plain(path.relative_to(root).as_posix()))
    once: dict[tuple[object, ...], LoggedRun] = {}
    for run in found:
        twin = once.setdefault(run.identity, run)
        if twin is not run:
            merge(twin, run)
    return list(once.values()), is_utf16, size


def split_runs(text: list[str], file: str) -> list[LoggedRun]:
    """Runs in the order in which a log prints them. A header after a score begins another one.

    Raises: TooLong for more runs, or more scores of one, than anybody prints.
    """
    runs = [LoggedRun(file, 1)]
    for number, line in enumerate(text, start=1):
        if say.SPEAKING.search(line) is None:
            continue
        run = runs[-1]
        if run.scores and is_header(line) and any(score.stage != "prequant" for score in run.scores):
            run = LoggedRun(file, number)
            runs.append(run)
            if len(runs) > MOST_RUNS:
                raise TooLong(f"{file} prints more than {MOST_RUNS:,} runs")
        note(run, line, number)
    real = [run for run in runs if run.is_something]
    for run in real:
        if run.seed is None:
            run.seed = run.named_seed
    return real


def is_header(line: str) -> bool:
    """Whether a line stands at the beginning of a run only."""
    return bool(say.HEADER.match(line) or say.BANNER.match(line) or line.startswith(BEGINNINGS))


def note(run: LoggedRun, line: str, number: int) -> None:
    """Nothing; the run knows what the line says."""
    if score := say.score_of(line, number):
        run.scores.append(score)
        if len(run.scores) > MOST_SCORES:
            raise TooLong(f"{run.file} prints more than {MOST_SCORES:,} scores of one run")
    elif size := say.size_of(line, number):
        run.sizes.append(size)
    elif note_progress(run, line) or note_bytes(run, line):
        return
    else:
        note_setting(run, line, number)


def note_progress(run: LoggedRun, line: str) -> bool:
    """Whether the line was about steps or time."""
    if found := say.STOP.match(line):
        run.stopped = int(found[1]), int(found[2])
        run.train_seconds, run.step = int(found[1]) / 1000, int(found[2])
    elif found := say.STOP_IN_WORDS.match(line):
        run.step = int(found[1])
    elif found := say.TRAINED_IN_WORDS.match(line):
        run.train_seconds = float(found[1])
    elif found := say.TOTAL_EVAL.match(line):
        run.total_eval_seconds = float(found[1])
    elif found := say.STEP.match(line):
        note_step(run, int(found[1]), line)
    else:
        return False
    return True


def note_step(run: LoggedRun, step: int, line: str) -> None:
    """Nothing; the run has come so far, in such a time, to such a loss."""
    if time := say.STEP_TIME.search(line):
        run.has_minutes |= time[2] == "m"
        if run.stopped is None:
            run.step, run.train_seconds = step, say.in_seconds(*time.groups())
    if loss := re.search(rf"train_loss\s*[:=]\s*{say.NUMBER}|\bloss {say.NUMBER}", line):
        run.curve.append((step, float(loss[1] or loss[2])))


def note_bytes(run: LoggedRun, line: str) -> bool:
    """Whether the line was about a part of the artifact."""
    if found := say.MODEL.match(line):
        if found[1].strip():
            run.model_bytes = say.integer(found[2])
    elif found := say.CODE.match(line):
        if "uncompressed" not in found[1]:
            run.code_bytes = say.integer(found[2])
            run.is_code_compressed = "compressed" in found[1]
    else:
        return False
    return True


def note_setting(run: LoggedRun, line: str, number: int) -> None:
    """Nothing; the run knows what the line says of its settings."""
    is_code = bool(say.CODE_LINE.search(line))
    if (found := say.BANNER.match(line)) or (run.seed is None and not is_code and (found := say.SEED.search(line))):
        run.seed, run.seed_line = int(found[1]), number
    if found := say.PARAMETERS.search(line):
        run.parameters = run.parameters or say.integer(found[1])
    if found := say.WORLD.search(line):
        run.world_size = int(found[1])
    if found := say.WALL.search(line):
        run.wallclock_limit = float(found[1])
    if found := say.TOKENS.search(line):
        run.validation_tokens = say.integer(found[1])
    run.adapts_in_windows |= bool(say.ADAPTED_IN_WINDOWS.match(line))
    if found := say.TRAIN_SHARDS.search(line):
        run.train_shards = int(found[1])
    if not is_code and (found := say.GPU.search(line)):
        run.gpus.add(found[1].strip())
    if (found := say.SETTING.match(line)) and not PRIVATE.search(found[1]):
        run.settings[found[1]] = found[2].strip()


def merge(run: LoggedRun, again: LoggedRun) -> None:
    """Nothing; a run that is printed a second time has what either print has."""
    known = {(score.label, score.val_bpb) for score in run.scores}
    new = [score for score in again.scores if (score.label, score.val_bpb) not in known]
    run.scores += new if again.file == run.file else [replace(score, file=again.file) for score in new]
    run.sizes += [size for size in again.sizes if size.total not in {each.total for each in run.sizes}]
    run.gpus |= again.gpus
    run.copies += again.copies
