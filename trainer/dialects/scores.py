"""What single lines of public logs say, in all their dialects."""

import re
from dataclasses import dataclass
from typing import Literal

NUMBER = r"(\d{1,12}(?:\.\d{1,18})?)"
SCORE = re.compile(rf"\bval_loss\s{{0,9}}[:=]\s{{0,9}}{NUMBER}\s{{1,9}}val_bpb\s{{0,9}}[:=]\s{{0,9}}{NUMBER}")
STEP = re.compile(r"^(?:step\s*:?)?\s*(\d{1,12})/(\d{1,12})\b[:\s|]")
STEP_ANYWHERE = re.compile(r"\bstep\s*:\s*\d{1,12}/\d{1,12}\b")
NO_NUMBER = re.compile(r"\bval_(?:loss|bpb)\s{0,9}[:=]\s{0,9}[-+]?(?:nan|inf)", re.IGNORECASE)
SECONDS = re.compile(rf"\b(?:eval_time|elapsed|time)\s*[:=]\s*{NUMBER}\s*(ms|s)\b")
# Bytes, and never the megabytes that may stand before them.
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
    """A loss and its bits per byte, as one line prints them."""

    label: str
    val_loss: float
    val_bpb: float
    decimals: int
    """Of val_bpb, as printed."""
    seconds: float | None
    line: int
    """From 1."""
    text: str
    file: str = ""
    """The log it stands in, where that is not the run's own."""

    @property
    def stage(self) -> Stage:
        """What was scored, as far as the label says."""
        if BEFORE_PACKING.search(self.label) and not ROUNDTRIP.search(self.label):
            return "prequant"
        return "ttt" if ADAPTED.search(self.label) else "roundtrip"

    @property
    def shown_stage(self) -> Stage | Literal["unknown"]:
        """What was scored, where the label shows it; a label without a word about packing shows nothing."""
        return "unknown" if self.stage == "roundtrip" and PACKED.search(self.label) is None else self.stage

    @property
    def protocol(self) -> str:
        """How, as far as the line says."""
        words = f"{self.label} {self.text}"
        return "sliding" if re.search(r"sliding|stride", words) else "document" if "phased" in words else "unknown"


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of what would be handed in, as one line prints them."""

    kind: Literal["total", "own", "artifact"]
    """The baseline's line, a line with model, code and total, or an artifact's size without code."""
    label: str
    total: int
    model: int | None
    code: int | None
    line: int
    is_mebi: bool = False
    """Whether the line gives the same number in MiB and calls it MB."""


def integer(text: str) -> int:
    return int(text.replace(",", ""))


def in_seconds(number: str, unit: str) -> float:
    return float(number) * {"ms": 0.001, "s": 1.0, "m": 60.0}[unit]


def score_of(line: str, number: int) -> Score | None:
    """The score that a line gives, other than of a training step."""
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
    """The size that a line gives."""
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
    """Whether a printed number of MB is one of MiB."""
    if printed is None or unit != "MB":
        return False
    places = len(printed.partition(".")[2])
    return round(total / MEBI, places) == float(printed) != round(total / 1e6, places)
