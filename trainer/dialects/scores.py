"""Scores read from single lines of public logs, in all their dialects."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

NUMBER = r"(\d{1,12}(?:\.\d{1,18})?)"
# As scores are printed: 1.0812 or 1.0812e+00. Not a percentage, the first part of 1,0812, or one end of 1.08 -> 1.07.
DECIMAL = r"(\d{1,12}(?:\.\d{1,18})?(?:[eE][-+]?\d{1,3})?)(?![\w%]|[.,]\d|\s?(?:±|\+/-|->|=>|→))"
BITS = re.compile(r"bpb|bits?[ _/](?:per[ _])?byte", re.IGNORECASE)
SCORE = re.compile(rf"\bval_loss\s{{0,9}}[:=]\s{{0,9}}{DECIMAL}\s{{1,9}}val_bpb\s{{0,9}}[:=]\s{{0,9}}{DECIMAL}")
STEP = re.compile(r"^(?:step\s*:?)?\s*(\d{1,12})/(\d{1,12})\b[:\s|]")
STEP_ANYWHERE = re.compile(r"\bstep\s*:\s*\d{1,12}/\d{1,12}\b")
NO_NUMBER = re.compile(r"\bval_(?:loss|bpb)\s{0,9}[:=]\s{0,9}[-+]?(?:nan|inf)", re.IGNORECASE)
SECONDS = re.compile(rf"\b(?:(?:eval_time|elapsed|time)\s*[:=]|took)\s*{NUMBER}\s*(ms|s)\b")
# Bits per byte without a loss beside: `val_bpb:1.08`, `mix_bpb=0.9`, `Quantized BPB (no XSA): 1.02`.
BPB = re.compile(
    rf"([\w-]*bpb|bits[ _/](?:per[ _])?byte)\b(?:\s?\([^)]{{0,40}}\))?\s{{0,20}}[:=]\s{{0,20}}{DECIMAL}", re.IGNORECASE
)
# The same without a colon, which prose has too: the number ends the line or a part of it, after few words.
SPACED_BPB = re.compile(
    rf"^(?:[^\s|]+\s{{1,9}}){{0,3}}(?:val_loss\s{{1,9}}\d[\d.]*\s?[,|]\s{{1,9}})?([\w-]*bpb)\s{{1,60}}(?=\d{{1,2}}\.\d{{3}}){DECIMAL}"
    r"\s{0,9}(?:$|[|,;(])",
    re.IGNORECASE,
)
SUMMARY = re.compile(r"^\s*[\w-]*bpb\s*:\s{2}", re.IGNORECASE)
LOSS = re.compile(rf"\bval_loss(?:\s{{0,9}}[:=]\s{{0,9}}|\s{{1,9}}){DECIMAL}")
EXACT = re.compile(rf"^\s{{1,9}}exact\s{{0,9}}[:=]\s{{0,9}}{DECIMAL}")
PAIR = re.compile(r"(?:[\w.-]+\s{0,9}[:=]\s{0,9}|\b(?:val_)?loss\s{1,9})[-+]?\d\S*")
# Scores before which a line names one of these are quoted: those of other work.
QUOTED = re.compile(
    r"\b(?:baseline|target|goal|previous|prior|sota|record|leaderboard|reference|published|reported|claimed|expected|paper"
    r"|to beat|so far|comparison)\b",
    re.IGNORECASE,
)
# A number beside one of these words is compared with, aimed at or under way, not the result of an evaluation.
NO_RESULT = re.compile(
    r"baseline|target|goal|delta|improve|gain|benefit|saved|initial|estimat|project|without|\b(?:zlib|gzip)[ _]bpb"
    r"|compressed to|warm-?up|train shard|first \d+\w? tokens"
    r"|saved|threshold|limit|previous|sota|record|\bvs\b|gap|diff|degrad|penalty"
    r"|cost|train_?bpb|bpb_?train|train bpb|chunk|epoch|\bstep|\biter|running|\d/\d"
    r"|oracle|unigram_bpb|token_bpb|bound\b|entropy",
    re.IGNORECASE,
)
# A number that sums up several runs.
OF_SEEDS = re.compile(
    r"\b(?:mean|std|stdev|stddev|sem|variance|range|across|seeds)\b|(?<=_)(?:mean|std)\b", re.IGNORECASE
)
# One of the models whose mixture is scored on the same line, or a score without the method of another on the line.
PART_OF_MIXTURE = re.compile(
    r"(?:nn|neural|lm|base|model|ppmd?|cache|expert|\w*gram)\d*(?:_only)?_bpb|(?:\w+_)?only_bpb|(?:no|without|pre|before)[-_]\w*bpb",
    re.IGNORECASE,
)
# Syntax of Python that log lines do not have: lines of dumped source code are ignored.
CODE_LINE = re.compile(r"""[#"'`]|\b(?:def|import|return|class|lambda|self|np|torch|os|random)\b[\s.(]|\w\(.*[=,)]""")

# A seed beside a score, as in the summary of several runs: `seed 42 val_bpb: 1.08`.
SEED_OF_SCORE = re.compile(r"\bseed[\s:=_]{0,3}(\d{1,10})\b(?!\.)", re.IGNORECASE)

BEFORE_PACKING = re.compile(
    r"diagnostic|pre-?quant|post[-_ ]?(?:ema|swa)\b|swa_eval|\bema\b|swa:post|float(?!\d)"
    r"|unquantized|\bno[-_ ]?quant|\braw_|best_averaging|^last_step",
    re.IGNORECASE,
)
# Number formats that mean the model before packing, unless the label also names the packing.
FLOATING = re.compile(r"\b(?:fp|fp32|fp16|bf16|full.?precision)\b", re.IGNORECASE)
SETTINGS_OF_SCORE = re.compile(r"\b(stride|window|seq_len|context|ctx)\s*[:=]\s*(\d{1,9})\b")
ADAPTED = re.compile(r"(?<!no.)(?<!pre.)(?:ttt|lora|adapt)", re.IGNORECASE)
# Numbers in a label that differ between seeds: times, steps, bytes, ids. Sizes of windows follow a letter or a sign.
VARYING = re.compile(r"(?<![\w.=:])\d{3,}(?:\.\d+)?(?=\W|s\b|$)|(?<=_)\d{1,10}(?=_)")
SURELY_PACKED = re.compile(r"round.?trip|gptq.{0,40}int\d|int\d.{0,40}(?:sliding|final)", re.IGNORECASE)
PACKED = re.compile(
    r"round.?trip|\bint\d|[_\W]int\d|quant|\bq\d|zlib|lzma|zstd|brotli|packed|compress|artifact|submission",
    re.IGNORECASE,
)
Stage = Literal["prequant", "roundtrip", "ttt"]


@dataclass(frozen=True, slots=True)
class Score:
    """Bits per byte, and mostly the loss, as one line prints them."""

    label: str
    val_loss: float | None
    """Nats per token; None where the line gives bits per byte alone."""
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
        if BEFORE_PACKING.search(self.label) and not SURELY_PACKED.search(self.label):
            return "prequant"
        if FLOATING.search(self.label) and not PACKED.search(self.label):
            return "prequant"
        return "ttt" if ADAPTED.search(self.label) else "roundtrip"

    @property
    def is_summary(self) -> bool:
        """Return whether the line is one of a column of names and numbers, as scripts print them at their end."""
        return self.val_loss is None and SUMMARY.match(self.text) is not None

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


def integer(text: str) -> int:
    return int(re.sub("[,_]", "", text))


def in_seconds(number: str, unit: str) -> float:
    return float(number) * {"ms": 0.001, "s": 1.0, "m": 60.0}[unit]


def scores_of(line: str, number: int) -> list[Score]:
    """Return the scores in a line, in order; none if it belongs to a training step."""
    if BITS.search(line) is None or STEP.match(line) or STEP_ANYWHERE.search(line):
        return []
    if found := SCORE.search(line):
        label, rest = line[: found.start()].rstrip(), line[found.end() :]
        if QUOTED.search(label):
            return []
        exact = EXACT.match(rest)
        label = label.strip().rstrip(":") if not label.endswith(":done") else label
        scores = [score(label, found[1], exact[1] if exact else found[2], line, rest, number)]
    elif any(words.search(line) for words in (NO_RESULT, QUOTED, OF_SEEDS, CODE_LINE)):
        return []
    else:
        scores = [
            score(label_before(line, found), loss_before(line, found), found[2], line, line[found.end() :], number)
            for found in results_in(line)
        ]
    return [each for each in scores if each.val_bpb > 0]


def results_in(line: str) -> list[re.Match[str]]:
    """Return the places of bits per byte in a line, without what is compared with the first one or mixed into it."""
    places = list(BPB.finditer(line)) or list(SPACED_BPB.finditer(line))
    beside = [place for place in places[1:] if line.count("(", 0, place.start()) == line.count(")", 0, place.start())]
    return [place for place in places[:1] + beside if not PART_OF_MIXTURE.fullmatch(place[1])]


def score(label: str, loss: str | None, bpb: str, line: str, rest: str, number: int) -> Score:
    """Return a score from the numbers as printed."""
    time = SECONDS.search(rest)
    return Score(
        " ".join(VARYING.sub("#", SEED_OF_SCORE.sub(" ", label)).split()),
        None if loss is None else float(loss),
        float(bpb),
        max(0, -int(Decimal(bpb).as_tuple().exponent)),
        in_seconds(*time.groups()) if time else None,
        number,
        line,
    )


def label_before(line: str, found: re.Match[str]) -> str:
    """Return the words before a number without other numbers and repetitions; its own name if that says which it is."""
    before = line[: found.start(1)]
    if "bpb" in before.lower() and (parts := re.split(r"[|,;]", before))[-1].strip():
        before = parts[-1]
    words = PAIR.sub(" ", before).replace("|", " ").split()
    if found[1].lower() not in ("val_bpb", "bpb") or not words:
        words.append(found[1])
    return " ".join(dict.fromkeys(words)).strip(" :,-")


def loss_before(line: str, found: re.Match[str]) -> str | None:
    """Return the last loss that is printed before a number; None if there is none."""
    losses = LOSS.findall(line[: found.start(1)])
    return losses[-1] if losses else None
