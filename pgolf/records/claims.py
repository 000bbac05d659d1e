"""What the author of a record says: submission.json in every dialect, and README.md."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from trainer.dialects.plain import plain

MOST_BYTES = 5_000_000
HEADLINES = ("val_bpb", "mean_val_bpb", "val_bpb_mean", "final_val_bpb")
TOTALS = ("bytes_total", "artifact_bytes", "artifact_bytes_max", "artifact_size_bytes", "total_bytes")
README_BPB = re.compile(r"val_bpb[^0-9\n]{0,24}(\d\.\d{3,10})")
README_STD = re.compile(r"\bstd(?:dev)?\b[^0-9\n]{0,12}(0?\.\d{2,10})", re.IGNORECASE)
MOST_ROW = 4_000


@dataclass(slots=True)
class Claims:
    """Numbers that somebody states of a record."""

    headlines: dict[str, float] = field(default_factory=dict)
    """val_bpb by where it stands."""
    stds: dict[str, float] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    bpb_of: dict[int, float] = field(default_factory=dict)
    bytes_of: dict[int, int] = field(default_factory=dict)
    bytes_total: int | None = None
    seconds_of: dict[int, float] = field(default_factory=dict)
    """Of evaluation."""
    hardware: str = ""
    track: str = ""
    name: str = ""
    complaint: str | None = None
    """Why submission.json could not be read."""

    @property
    def headline(self) -> float | None:
        """That of submission.json, else of the README."""
        return next(iter(self.headlines.values()), None)


def read_claims(folder: Path) -> Claims:
    """The claims of a folder."""
    found = Claims()
    submission = read_submission(folder / "submission.json", found)
    take_submission(found, submission)
    take_readme(found, folder / "README.md")
    found.name = plain(text_of(submission.get("name")) or folder.name)
    found.track = plain(text_of(submission.get("track")))
    return found


def read_submission(path: Path, found: Claims) -> dict[str, Any]:
    """submission.json, empty where it is missing or broken, which the claims then say."""
    if not path.exists():
        found.complaint = "there is no submission.json"
        return {}
    document = read_object(path)
    if isinstance(document, str):
        found.complaint = f"submission.json {document}"
        return {}
    return document


def read_object(path: Path) -> dict[str, Any] | str:
    """A JSON object, or why there is none."""
    try:
        if not path.is_file() or path.resolve().parent != path.parent.resolve():
            return "is no file of this folder"
        if path.stat().st_size > MOST_BYTES:
            return f"has more than {MOST_BYTES:,} bytes"
        document = json.loads(path.read_text(encoding="utf-8-sig", errors="replace"))
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    except RecursionError:
        return "is nested too deeply"
    return document if isinstance(document, dict) else "is no JSON object"


def take_submission(found: Claims, document: dict[str, Any]) -> None:
    """Nothing; the claims have what submission.json says, in whichever dialect."""
    for key in HEADLINES:
        value = document.get(key)
        mean = mapping(value).get("mean", mapping(value).get("value")) if isinstance(value, dict) else value
        if (number := number_of(mean)) is not None:
            found.headlines.setdefault("submission_json", number)
        if (spread := number_of(mapping(value).get("std"))) is not None:
            found.stds.setdefault("submission_json", spread)
    for key in ("val_bpb_std", "std", "std_val_bpb"):
        if (number := number_of(document.get(key))) is not None:
            found.stds.setdefault("submission_json", number)
    for key in ("seed_results", "seeds", "seed_scores", "val_bpb_seeds"):
        value = document.get(key)
        if isinstance(value, dict):
            take_per_seed(found, value)
        else:
            take_list(found, sequence(value))
    take_per_seed(found, {key[5:]: value for key, value in document.items() if re.fullmatch(r"seed_\d+", key)})
    found.seeds = list(dict.fromkeys([*found.seeds, *found.bpb_of]))
    totals = (integer_of(document.get(key)) for key in TOTALS)
    found.bytes_total = next((total for total in totals if total is not None), None)
    found.hardware = text_of(document.get("hardware")) or text_of(document.get("gpu"))


def take_list(found: Claims, values: list[Any]) -> None:
    """Nothing; the claims have a list of seeds, or of one object a seed."""
    for value in values:
        if isinstance(value, dict) and (seed := integer_of(value.get("seed"))) is not None:
            take_per_seed(found, {str(seed): value})
        elif (seed := integer_of(value)) is not None:
            found.seeds.append(seed)


def take_per_seed(found: Claims, results: dict[str, Any]) -> None:
    """Nothing; the claims have what is said of each seed."""
    for key, value in results.items():
        seed = integer_of(re.sub(r"(?i)^(?:seed|s)[_ -]?", "", key))
        if seed is None:
            continue
        facts = value if isinstance(value, dict) else {"val_bpb": value}
        if seed not in found.seeds:
            found.seeds.append(seed)
        if (bpb := number_of(facts.get("val_bpb"))) is not None:
            found.bpb_of[seed] = bpb
        if (seconds := number_of(facts.get("eval_time_s", facts.get("ttt_eval_time_s")))) is not None:
            found.seconds_of[seed] = seconds
        sizes = (integer_of(facts.get(name)) for name in ("bytes", *TOTALS))
        if (size := next((size for size in sizes if size is not None), None)) is not None:
            found.bytes_of[seed] = size


def take_readme(found: Claims, path: Path) -> None:
    """Nothing; the claims have the README's headline and deviation, and seeds from its table."""
    try:
        if not path.is_file() or path.resolve().parent != path.parent.resolve():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MOST_BYTES)
    except OSError:
        return
    if bpb := README_BPB.search(text):
        found.headlines["readme"] = float(bpb[1])
    if std := README_STD.search(text):
        found.stds["readme"] = float(std[1])
    for seed, score in readme_rows(text):
        if seed not in found.bpb_of and not found.seeds:
            found.bpb_of[seed] = score
    found.seeds = found.seeds or list(found.bpb_of)


def readme_rows(text: str) -> Iterator[tuple[int, float]]:
    """Seeds with their scores from the tables of a README: the last column whose heading says bpb, else the last number
    of a row in a table that has no such heading.
    """
    column: int | None = None
    for line in text.splitlines():
        if not line.startswith("|"):
            column = None
            continue
        cells = [cell.strip(" *`") for cell in line[:MOST_ROW].strip().strip("|").split("|")]
        heads = [place for place, cell in enumerate(cells) if "bpb" in cell.lower()]
        if heads:
            column = heads[-1]
        elif re.fullmatch(r"(?:seed\s*)?\d{1,6}", cells[0].lower()):
            numbers = [cells[column]] if column is not None and column < len(cells) else cells[1:]
            scores = [float(number) for cell in numbers for number in re.findall(r"\b[0-3]\.\d{4,10}\b", cell)]
            if scores:
                yield int(re.sub(r"\D", "", cells[0])), scores[-1]


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def number_of(value: Any) -> float | None:
    """A finite number, also one in a string; never a truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def integer_of(value: Any) -> int | None:
    """A whole number, also one in a string."""
    number = number_of(value.replace(",", "").replace("_", "") if isinstance(value, str) else value)
    return int(number) if number is not None and abs(number) < 2**63 and number == int(number) else None
