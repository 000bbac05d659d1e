"""One run as a public log describes it."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainer.dialects.scores import Score
from trainer.dialects.sizes import Size

SEED_WORD = re.compile(r"seed[_=-]?(\d{1,10})|(?:^|[_-])(\d{1,10})[_-]seed(?![a-z]|[_-]?\d)", re.IGNORECASE)
# `s1` is the first stage, or the first shard; `s42` is a seed. A number of eight digits is a date.
SEED_IN_NAME = re.compile(
    r"(?:^|[_-])s(\d{2,10})(?:[_.-]|$)|^(?:log|run|train|eval|out)[_-]?(?!20\d{6}$)(\d{1,10})$", re.IGNORECASE
)


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
    lines: dict[str, int] = field(default_factory=dict)
    """Number of the line that gives a field, by the field's name."""
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
    times: list[tuple[int, float]] = field(default_factory=list)
    """Step and seconds of training at each line that gives both."""
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
    mentioned: dict[str, Score] = field(default_factory=dict)
    """Numbers on lines about bits per byte, read as scores or not, by the line's other words; the last of each."""
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
        """Seed in the name of the file or its folder, if there is one."""
        path = Path(self.file)
        found = SEED_WORD.search(path.stem) or SEED_WORD.search(path.parent.name) or SEED_IN_NAME.search(path.stem)
        return None if found is None else int(next(filter(None, found.groups())))

    @property
    def is_named_after_seed(self) -> bool:
        """Return whether the name of the file or its folder says so in a word; a number alone may be another's."""
        path = Path(self.file)
        return any(SEED_WORD.search(name) for name in (path.stem, path.parent.name))

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
        """Size of the submission: the last size printed, other than a total of the unpacked model.

        A rounded one counts only where no line prints the bytes.
        """
        packed = [size for size in self.sizes if not self.is_unpacked(size)]
        packed = [size for size in packed if not size.is_rounded] or packed
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
        if size.kind == "artifact" and not size.is_rounded:
            return size.total
        return self.model_bytes if size.model is None else size.model


def merge(run: LoggedRun, again: LoggedRun) -> None:
    """Add to a run what a second print of it has and the first one lacks."""
    known = {(score.label, score.val_bpb) for score in run.scores}
    new = [score for score in again.scores if (score.label, score.val_bpb) not in known]
    run.scores += new if again.file == run.file else [replace(score, file=again.file) for score in new]
    run.sizes += [size for size in again.sizes if size.total not in {each.total for each in run.sizes}]
    run.gpus |= again.gpus
    run.copies += again.copies
