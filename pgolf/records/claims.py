"""The claims of a record's author, from submission.json in any of its dialects and from README.md."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

from pgolf.alike import decimals_of
from pgolf.records.printed import Printed
from pgolf.records.track import is_timed_track
from trainer.dialects.plain import plain
from trainer.recipe.reading import open_regular, read_bytes

MAX_BYTES = 5_000_000
HEADLINES = ("val_bpb", "mean_val_bpb", "val_bpb_mean", "final_val_bpb")
TOTALS = ("bytes_total", "artifact_bytes", "artifact_bytes_max", "artifact_size_bytes", "total_bytes")
README_BPB = re.compile(r"(?:val_)?bpb[^0-9\n|]{0,24}(\d\.\d{3,10})", re.IGNORECASE)
# Lines about another model, another stage or a difference: no headline is read from them.
NO_HEADLINE = re.compile(
    r"baseline|pre-?quant|before|previous|prior|improve|delta|\bvs\b|versus|target|threshold|SOTA|\bPR ?#",
    re.IGNORECASE,
)
README_STD = re.compile(r"\bstd(?:dev)?\b[^0-9\n]{0,12}(0?\.\d{2,10})", re.IGNORECASE)
MAX_ROW_CHARACTERS = 4_000


@dataclass(slots=True)
class Claims:
    """The numbers that an author claims for a record."""

    headlines: dict[str, Printed] = field(default_factory=dict)
    """val_bpb by the file that states it: submission_json or readme."""
    stds: dict[str, Printed] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    bpb_by_seed: dict[int, Printed] = field(default_factory=dict)
    bytes_by_seed: dict[int, Printed] = field(default_factory=dict)
    bytes_total: Printed | None = None
    evaluate_seconds_by_seed: dict[int, Printed] = field(default_factory=dict)
    submitted: date | None = None
    hardware: str = ""
    track: str = ""
    is_timed: bool = True
    """Whether it is on the track with limits on time, hardware and seeds."""
    name: str = ""
    submission_error: str | None = None
    """Why submission.json could not be read."""

    @property
    def headline(self) -> Printed | None:
        """val_bpb in submission.json, else in the README."""
        return next(iter(self.headlines.values()), None)


def read_claims(folder: Path) -> Claims:
    """Read the claims of a folder."""
    claims = Claims()
    submission = read_submission(folder / "submission.json", claims)
    add_submission(claims, submission)
    add_readme(claims, folder / "README.md")
    claims.name = plain(as_text(submission.get("name")) or folder.name)
    claims.track = plain(as_text(submission.get("track")))
    place = folder.resolve()
    claims.is_timed = is_timed_track([claims.track, place.name, place.parent.name])
    return claims


def read_submission(path: Path, claims: Claims) -> dict[str, Any]:
    """Return submission.json; where it is missing or broken return {} and note the reason in `claims`."""
    if not path.exists():
        claims.submission_error = "submission.json is missing"
        return {}
    document = read_object(path)
    if isinstance(document, str):
        claims.submission_error = f"submission.json {document}"
        return {}
    return document


def read_object(path: Path) -> dict[str, Any] | str:
    """Return a JSON object, or the reason why it cannot be read."""
    try:
        if not path.is_file() or path.resolve().parent != path.parent.resolve():
            return "is not a regular file of this folder"
        document = json.loads(read_bytes(path, MAX_BYTES).decode("utf-8-sig", errors="replace"))
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    except RecursionError:
        return "is nested too deeply"
    return document if isinstance(document, dict) else "is not a JSON object"


def add_submission(claims: Claims, document: dict[str, Any]) -> None:
    """Add the claims of submission.json, in any of its dialects."""
    for key in HEADLINES:
        value = document.get(key)
        mean = as_mapping(value).get("mean", as_mapping(value).get("value")) if isinstance(value, dict) else value
        if (number := as_number(mean)) is not None:
            claims.headlines.setdefault("submission_json", stated(number, key))
        if (spread := as_number(as_mapping(value).get("std"))) is not None:
            claims.stds.setdefault("submission_json", stated(spread, f"{key}.std"))
    for key in ("val_bpb_std", "std", "std_val_bpb"):
        if (number := as_number(document.get(key))) is not None:
            claims.stds.setdefault("submission_json", stated(number, key))
    for key in ("seed_results", "seeds", "seed_scores", "val_bpb_seeds"):
        value = document.get(key)
        if isinstance(value, dict):
            add_seed_results(claims, value)
        else:
            add_seed_list(claims, as_list(value))
    add_seed_results(claims, {key[5:]: value for key, value in document.items() if re.fullmatch(r"seed_\d+", key)})
    claims.seeds = list(dict.fromkeys([*claims.seeds, *claims.bpb_by_seed]))
    totals = [(key, total) for key in TOTALS if (total := as_integer(document.get(key))) is not None]
    claims.bytes_total = next((stated(total, key) for key, total in totals), None)
    claims.submitted = as_date(document.get("date"))
    claims.hardware = plain(as_text(document.get("hardware")) or as_text(document.get("gpu")))


def stated(value: float, key: str) -> Printed:
    """Return a number that submission.json states."""
    return Printed(value, 0 if isinstance(value, int) else decimals_of(value), "submission.json", None, key)


def add_seed_list(claims: Claims, values: list[Any]) -> None:
    """Add a list of seeds, or of objects with one seed each."""
    for value in values:
        if isinstance(value, dict) and (seed := as_integer(value.get("seed"))) is not None:
            add_seed_results(claims, {str(seed): value})
        elif (seed := as_integer(value)) is not None:
            claims.seeds.append(seed)


def add_seed_results(claims: Claims, results: dict[str, Any]) -> None:
    """Add the claims about each seed; a value is a score or an object."""
    for key, value in results.items():
        seed = as_integer(re.sub(r"(?i)^(?:seed|s)[_ -]?", "", key))
        if seed is None:
            continue
        facts = value if isinstance(value, dict) else {"val_bpb": value}
        if seed not in claims.seeds:
            claims.seeds.append(seed)
        if (bpb := as_number(facts.get("val_bpb"))) is not None:
            claims.bpb_by_seed[seed] = stated(bpb, f"{key}.val_bpb")
        if (seconds := as_number(facts.get("eval_time_s", facts.get("ttt_eval_time_s")))) is not None:
            claims.evaluate_seconds_by_seed[seed] = stated(seconds, f"{key}.eval_time_s")
        sizes = (as_integer(facts.get(name)) for name in ("bytes", *TOTALS))
        if (size := next((size for size in sizes if size is not None), None)) is not None:
            claims.bytes_by_seed[seed] = stated(size, f"{key}.bytes")


def add_readme(claims: Claims, path: Path) -> None:
    """Add the README's headline and standard deviation, and the seeds of its table where no seed is known yet."""
    try:
        if not path.is_file() or path.resolve().parent != path.parent.resolve():
            return
        with open_regular(path) as file:
            text = file.read(MAX_BYTES).decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return
    if (headline := readme_headline(text, path.name)) is not None:
        claims.headlines["readme"] = headline
    if std := README_STD.search(text):
        claims.stds["readme"] = Printed(float(std[1]), len(std[1].partition(".")[2]), path.name)
    for seed, score in readme_rows(text):
        if seed not in claims.bpb_by_seed and not claims.seeds:
            claims.bpb_by_seed[seed] = Printed(score, decimals_of(score), path.name)
    claims.seeds = claims.seeds or list(claims.bpb_by_seed)


def readme_headline(text: str, name: str) -> Printed | None:
    """Return the val_bpb of the title, else of a bold line or one that says `final`, else of the first other line."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if not line.startswith("|")]
    ranked: list[tuple[int, Printed]] = []
    for number, line in lines:
        found = README_BPB.search(line[:MAX_ROW_CHARACTERS])
        is_title = line.startswith("# ")
        if found is None or (NO_HEADLINE.search(line[: found.start()]) and not is_title):
            continue
        is_marked = line.startswith("**") or re.search(r"\bfinal\b", line, re.IGNORECASE) is not None
        printed = Printed(float(found[1]), len(found[1].partition(".")[2]), name, number)
        ranked.append((0 if is_title else 1 if is_marked else 2, printed))
    return min(ranked, key=lambda each: each[0])[1] if ranked else None


def readme_rows(text: str) -> Iterator[tuple[int, float]]:
    """Yield seeds and their scores from the tables of a README whose first column is called seed.

    The score is in the last column whose heading contains bpb; without such a heading it is the last score in the row.
    """
    heads: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            heads = []
            continue
        cells = [cell.strip(" *`") for cell in line[:MAX_ROW_CHARACTERS].strip().strip("|").split("|")]
        heads = heads or [cell.lower() for cell in cells]
        if (
            re.search(r"\bseeds?\b", heads[0]) is None
            or re.fullmatch(r"(?:seed\s*)?\d{1,10}", cells[0].lower()) is None
        ):
            continue
        columns = [index for index, head in enumerate(heads) if "bpb" in head and index < len(cells)]
        numbers = [cells[columns[-1]]] if columns else cells[1:]
        scores = [float(number) for cell in numbers for number in re.findall(r"\b[0-3]\.\d{4,10}\b", cell)]
        if scores:
            yield int(re.sub(r"\D", "", cells[0])), scores[-1]


def as_mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def as_date(value: Any) -> date | None:
    """Return the day that a text begins with, such as `2026-04-09T04:30:00Z`; None for anything else."""
    try:
        return date.fromisoformat(as_text(value)[:10])
    except ValueError:
        return None


def as_number(value: Any) -> float | None:
    """Return a finite number, or one written in a string; None for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def as_integer(value: Any) -> int | None:
    """Return a whole number, or one written in a string with or without separators; None for anything else."""
    number = as_number(value.replace(",", "").replace("_", "") if isinstance(value, str) else value)
    return int(number) if number is not None and abs(number) < 2**63 and number == int(number) else None
