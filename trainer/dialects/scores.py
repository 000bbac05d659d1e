"""Scores and sizes read from single lines of public logs, in all their dialects."""

import re
from dataclasses import dataclass
from typing import Literal

NUMBER = r"(\d{1,12}(?:\.\d{1,18})?)"
SCORE = re.compile(rf"\bval_loss\s{{0,9}}[:=]\s{{0,9}}{NUMBER}\s{{1,9}}val_bpb\s{{0,9}}[:=]\s{{0,9}}{NUMBER}")
STEP = re.compile(r"^(?:step\s*:?)?\s*(\d{1,12})/(\d{1,12})\b[:\s|]")
STEP_ANYWHERE = re.compile(r"\bstep\s*:\s*\d{1,12}/\d{1,12}\b")
NO_NUMBER = re.compile(r"\bval_(?:loss|bpb)\s{0,9}[:=]\s{0,9}[-+]?(?:nan|inf)", re.IGNORECASE)
SECONDS = re.compile(rf"\b(?:eval_time|elapsed|time)\s*[:=]\s*{NUMBER}\s*(ms|s)\b")
# A number of bytes, skipping megabytes that may precede it.
BYTES = r"(?:~?[\d.]{1,12}\s*(?:MB|MiB)\s*\(\s*)?(\d[\d,]{0,17})(?=\s*(?:bytes\b|B\b|\(|$))"
TOTAL = re.compile(rf"^Total submission size\b([^:]*):\s*{BYTES}")
OWN_TOTAL = re.compile(r"^(\S{1,80}):\s*(\d[\d,]{0,17}) bytes \| code: (\d[\d,]{0,17}) \| total: (\d[\d,]{0,17})\b")
ARTIFACT = re.compile(
    rf"^(.{{0,40}}?)\bartifact(?: size)?:\s*(\d[\d,]{{0,17}}) bytes(?:\s*\({NUMBER}\s*(MB|MiB)\))?", re.IGNORECASE
)

BEFORE_PACKING = re.compile(
    r"diagnostic|pre-?quant|post[-_ ]?(?:ema|swa)\b|swa_eval|\bema\b|float|best_averaging", re.IGNORECASE
)
SETTINGS_OF_SCORE = re.compile(r"\b(stride|window|seq_len|context|ctx)\s*[:=]\s*(\d{1,9})\b")
ADAPTED = re.compile(r"(?<!no.)(?<!pre.)(?:ttt|lora|adapt)", re.IGNORECASE)
ROUNDTRIP = re.compile(r"round.?trip", re.IGNORECASE)
PACKED = re.compile(
    r"round.?trip|\bint\d|[_\W]int\d|quant|\bq\d|zlib|lzma|zstd|brotli|packed|compress|artifact|submission",
    re.IGNORECASE,
)
MEBI = 2**20

Stage = Literal["prequant", "roundtrip", "ttt"]


@dataclass(frozen=True, slots=True)
class Score:
    """A loss and its bits per byte as one line prints them."""

    label: str
    val_loss: float
    val_bpb: float
    decimals: int
    """Decimals of val_bpb as printed."""
    seconds: float | None
    line: int
    """Line number, from 1."""
    text: str
    file: str = ""
    """The log it was read from, if that is not the run's own."""

    @property
    def stage(self) -> Stage:
        """What was scored, judging by the label."""
        if BEFORE_PACKING.search(self.label) and not ROUNDTRIP.search(self.label):
            return "prequant"
        return "ttt" if ADAPTED.search(self.label) else "roundtrip"

    @property
    def shown_stage(self) -> Stage | Literal["unknown"]:
        """Like `stage`, but "unknown" if nothing in the label is about packing."""
        return "unknown" if self.stage == "roundtrip" and PACKED.search(self.label) is None else self.stage

    @property
    def protocol(self) -> str:
        """Protocol of the score, judging by the line."""
        words = f"{self.label} {self.text}"
        if re.search(r"sliding|stride", words):
            return "sliding"
        return "document" if "phased" in words else "chunked" if "chunked" in self.label else "unknown"


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of a submission as one line prints them."""

    kind: Literal["total", "own", "artifact"]
    """total: the baseline's line; own: a line with model, code and total; artifact: a size without code."""
    label: str
    total: int
    model: int | None
    code: int | None
    line: int
    is_mebi: bool = False
    """Whether the line also gives the size in MiB and calls it MB."""


def integer(text: str) -> int:
    return int(text.replace(",", ""))


def in_seconds(number: str, unit: str) -> float:
    return float(number) * {"ms": 0.001, "s": 1.0, "m": 60.0}[unit]


def score_of(line: str, number: int) -> Score | None:
    """Return the score in a line, unless it belongs to a training step."""
    if STEP.match(line) or STEP_ANYWHERE.search(line) or (found := SCORE.search(line)) is None:
        return None
    label, rest = line[: found.start()].rstrip(), line[found.end() :]
    loss, bpb = found.groups()
    if float(bpb) <= 0:
        return None
    time = SECONDS.search(rest)
    decimals = len(bpb.partition(".")[2])
    seconds = in_seconds(*time.groups()) if time else None
    return Score(
        label.strip().rstrip(":") if not label.endswith(":done") else label,
        float(loss),
        float(bpb),
        decimals,
        seconds,
        number,
        line,
    )


def size_of(line: str, number: int) -> Size | None:
    """Return the size in a line."""
    if found := TOTAL.match(line):
        return Size("total", found[1].strip(), integer(found[2]), None, None, number)
    if found := OWN_TOTAL.match(line):
        return Size("own", found[1], integer(found[4]), integer(found[2]), integer(found[3]), number)
    if found := ARTIFACT.match(line):
        total = integer(found[2])
        return Size(
            "artifact", found[1].strip(" :"), total, None, None, number, is_mebi_called_mb(total, found[3], found[4])
        )
    return None


def is_mebi_called_mb(total: int, printed: str | None, unit: str | None) -> bool:
    """Return whether a number printed as MB is really in MiB."""
    if printed is None or unit != "MB":
        return False
    places = len(printed.partition(".")[2])
    return round(total / MEBI, places) == float(printed) != round(total / 1e6, places)
