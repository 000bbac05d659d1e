"""The numbers of submission.json, with their decimals and lines, in all dialects that authors write."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

from pgolf.records.claims import Claims
from pgolf.records.printed import Printed
from pgolf.records.text_files import read_text
from trainer.dialects.plain import plain

FILE = "submission.json"
HEADLINES = ("val_bpb", "mean_val_bpb", "val_bpb_mean", "final_val_bpb", "mean_bpb", "bpb_mean")
STATED_MEAN = re.compile(r"\w{1,20}_seed_(?:val_)?mean(?:_val)?_bpb")
STATED_STD = re.compile(r"(?:\w{1,20}_seed_)?(?:std(?:_val)?_bpb|(?:val_)?bpb_std|std)")
TOTALS = ("bytes_total", "artifact_bytes", "artifact_bytes_max", "artifact_size_bytes", "total_bytes")
# The longer form first: `val_bpb_exact` is `val_bpb` before it was rounded.
SEED_SCORES = ("val_bpb_exact", "val_bpb", "final_val_bpb", "bpb", "post_ttt_val_bpb", "ttt_val_bpb")
SEED_SECONDS = ("eval_time_s", "ttt_eval_time_s")
SEED_NAME = re.compile(r"(?:seed|s)?[_ -]?(\d{1,19})", re.IGNORECASE)
# A number for each seed is a score unless its key is about something else.
NOT_SCORES = re.compile(
    r"loss|byte|size|time|second|step|std|delta|pre_?quant|_ms\b|baseline|prev|prior|control|compar|other|gain|p_?val",
    re.IGNORECASE,
)
# A bare number for each seed is a score only under a key that says so.
SCORES = re.compile(r"seeds?|(?:seed|s)?[_ -]?\d{1,19}|.*(?:bpb|score|results?|per_?seed).*", re.IGNORECASE)
HIGHEST_BPB = 10.0
RETRACTED = re.compile(r"retract|withdrawn", re.IGNORECASE)
NUMBER_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)')


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A number of a JSON document as it is written there."""

    text: str
    line: int | None


def read_document(path: Path) -> dict[str, Any] | str:
    """Return a JSON object whose numbers are `JsonNumber`, or the reason why it cannot be read."""
    try:
        text = read_text(path)
        return "is not a regular file of this folder" if text is None else parse_object(text)
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    except RecursionError:
        return "is nested too deeply"


def parse_object(text: str) -> dict[str, Any] | str:
    """Return the JSON object in a text; the decoder meets numbers in the order in which the text has them.

    Raises:
        ValueError: the text is not JSON.
    """
    lines = number_lines(text)

    def keep(number: str) -> JsonNumber:
        return JsonNumber(number, next(lines, None))

    document = json.loads(text, parse_float=keep, parse_int=keep)
    return document if isinstance(document, dict) else "is not a JSON object"


def number_lines(text: str) -> Iterator[int]:
    """Yield the line, from 1, of each number outside strings."""
    line, seen = 1, 0
    for found in NUMBER_OR_STRING.finditer(text):
        if found[1] is not None:
            line, seen = line + text.count("\n", seen, found.start()), found.start()
            yield line


def add_submission(claims: Claims, document: dict[str, Any]) -> None:
    """Add the claims of submission.json."""
    claims.is_retracted = RETRACTED.search(f"{as_text(document.get('status'))} {' '.join(document)}") is not None
    claims.retracted = printed(document.get("val_bpb_retracted"), "val_bpb_retracted")
    add_headline(claims, document)
    for key, value in document.items():
        if ("seed" in key.lower() or key in ("val_bpb_seeds", "results")) and not NOT_SCORES.search(key):
            add_seeds(claims, key, value)
    claims.seeds = list(dict.fromkeys([*claims.seeds, *claims.bpb_by_seed]))
    if not claims.seeds and (seed := whole(document.get("seed"))) is not None:
        claims.seeds = [seed]
    claims.has_seeds_in_submission = bool(claims.seeds)
    claims.bytes_total = first_whole(document, TOTALS)
    claims.bytes_code = first_whole(document, ("bytes_code",))
    claims.loss = printed(document.get("val_loss"), "val_loss")
    claims.submitted = as_date(document.get("date"))
    claims.hardware = plain(as_text(document.get("hardware")) or as_text(document.get("gpu")))
    claims.name = plain(as_text(document.get("name"))) or claims.name
    claims.track = plain(as_text(document.get("track")))
    claims.says_non_record = document.get("non_record") is True or document.get("is_record") is False


def add_headline(claims: Claims, document: dict[str, Any]) -> None:
    """Add the mean and the standard deviation; a retracted score is no headline."""
    for key in (*HEADLINES, *filter(STATED_MEAN.fullmatch, document)):
        value = document.get(key)
        mean = value.get("mean", value.get("value")) if isinstance(value, dict) else value
        if (number := printed(mean, key)) is not None and number.value > 0 and not claims.is_retracted:
            claims.headlines.setdefault("submission_json", number)
        if isinstance(value, dict) and (spread := printed(value.get("std"), f"{key}.std")) is not None:
            claims.stds.setdefault("submission_json", spread)
    for key in ("val_bpb_std", *filter(STATED_STD.fullmatch, document)):
        if (number := printed(document.get(key), key)) is not None:
            claims.stds.setdefault("submission_json", number)


def add_seeds(claims: Claims, key: str, value: Any) -> None:
    """Add what a key says of seeds: results by seed, a list of results, of seeds or of scores, or one `seed_N`."""
    if isinstance(value, dict):
        by_seed = {seed: facts for name, facts in value.items() if (seed := seed_named(name)) is not None}
        if (seed := seed_named(key)) is not None:
            by_seed = {seed: value}
        for seed, facts in by_seed.items():
            add_seed(claims, seed, facts, f"{key}.{seed}")
    elif isinstance(value, list):
        add_seed_list(claims, key, value)
    elif (seed := seed_named(key)) is not None:
        add_seed(claims, seed, value, key)
    elif key == "seeds" and isinstance(value, str):
        add_seed_list(claims, key, re.findall(r"\d{1,19}", value))


def add_seed_list(claims: Claims, key: str, values: list[Any]) -> None:
    """Add a list of seeds, of objects with one seed each, or of one score for each seed."""
    for value in values:
        if isinstance(value, dict) and (seed := whole(value.get("seed"))) is not None:
            add_seed(claims, seed, value, f"{key}.{seed}")
        elif key in ("seeds", "seed") and (seed := whole(value)) is not None:
            claims.seeds.append(seed)
            claims.listed_seeds.append(seed)
    if "bpb" in key and len(values) == len(claims.seeds):
        for seed, value in zip(claims.seeds, values, strict=True):
            add_seed(claims, seed, value, key)


def add_seed(claims: Claims, seed: int, value: Any, key: str) -> None:
    """Add the claims about one seed; the value is a score or an object."""
    if seed not in claims.seeds:
        claims.seeds.append(seed)
    if not isinstance(value, dict):
        score = printed(value, key)
        if score is not None and 0 < score.value < HIGHEST_BPB and SCORES.fullmatch(key.partition(".")[0]):
            claims.bpb_by_seed.setdefault(seed, score)
        return
    scores = (printed(value.get(name), f"{key}.{name}") for name in SEED_SCORES)
    if (score := next(filter(None, scores), None)) is not None:
        claims.bpb_by_seed.setdefault(seed, score)
    if (loss := printed(value.get("val_loss"), f"{key}.val_loss")) is not None:
        claims.loss_by_seed[seed] = loss
    seconds = (printed(value.get(name), f"{key}.{name}") for name in SEED_SECONDS)
    if (time := next(filter(None, seconds), None)) is not None:
        claims.evaluate_seconds_by_seed[seed] = time
    if (size := first_whole(value, ("bytes", *TOTALS), f"{key}.")) is not None:
        claims.bytes_by_seed[seed] = size


def seed_named(key: str) -> int | None:
    """Return the seed that a key such as `42`, `seed_42` or `s42` names."""
    found = SEED_NAME.fullmatch(key)
    return None if found is None else int(found[1])


def first_whole(document: dict[str, Any], keys: tuple[str, ...], above: str = "") -> Printed | None:
    """Return the first whole number under one of some keys."""
    found = ((key, printed(document.get(key), f"{above}{key}")) for key in keys)
    return next((size for _, size in found if size is not None and isinstance(size.value, int)), None)


def printed(value: Any, key: str) -> Printed | None:
    """Return a finite number, or one written in a string; None for anything else, booleans included."""
    text, line = (value.text, value.line) if isinstance(value, JsonNumber) else (value, None)
    if not isinstance(text, str):
        return None
    try:
        number, decimals = float(text.replace(",", "").replace("_", "")), written_decimals(text)
    except ValueError:
        return None
    if not isfinite(number):
        return None
    is_whole = decimals == 0 and number.is_integer() and abs(number) < 2**63
    return Printed(int(number) if is_whole else number, decimals, FILE, line, plain(key))


def written_decimals(text: str) -> int:
    """Return the decimals of a written number, its zeros included."""
    digits, _, exponent = text.lower().partition("e")
    return max(0, len(digits.partition(".")[2]) - int(exponent or 0))


def whole(value: Any) -> int | None:
    """Return a whole number, or one written in a string with or without separators; None for anything else."""
    number = printed(value, "")
    return number.value if number is not None and isinstance(number.value, int) else None


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def as_date(value: Any) -> date | None:
    """Return the day that a text begins with, such as `2026-04-09T04:30:00Z`; None for anything else."""
    try:
        return date.fromisoformat(as_text(value)[:10])
    except ValueError:
        return None
