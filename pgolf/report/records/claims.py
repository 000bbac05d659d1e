"""What the author of a record says: submission.json in every dialect, README.md, or numbers taken from both before."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgolf.report.records.text import plain

MOST_BYTES = 5_000_000
HEADLINES = ("val_bpb", "mean_val_bpb", "val_bpb_mean", "final_val_bpb")
TOTALS = ("bytes_total", "artifact_bytes", "artifact_bytes_max", "artifact_size_bytes", "total_bytes")
README_BPB = re.compile(r"val_bpb[^0-9\n]{0,24}(\d\.\d{3,10})")
README_STD = re.compile(r"\bstd(?:dev)?\b[^0-9\n]{0,12}(0?\.\d{2,10})", re.IGNORECASE)
README_ROW = re.compile(r"^\|\s*\**(\d{1,6})\**\s*\|(.*)$", re.MULTILINE)
README_SIZE = re.compile(r"(~?\d+(?:[.,]\d+)*)\s*(MB|bytes|B)\b")


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
    stand_in = read_object(folder / "claims.json")
    if isinstance(stand_in, dict):
        take_stand_in(found, stand_in)
    else:
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
        if not path.is_file():
            return "is no file"
        if path.stat().st_size > MOST_BYTES:
            return f"has more than {MOST_BYTES:,} bytes"
        document = json.loads(path.read_text(encoding="utf-8-sig", errors="replace"))
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    except RecursionError:
        return "is nested too deeply"
    return document if isinstance(document, dict) else "is no JSON object"


def take_stand_in(found: Claims, document: dict[str, Any]) -> None:
    """Nothing; the claims are those of claims.json."""
    for source, value in mapping(document.get("headline_val_bpb")).items():
        if (number := number_of(value)) is not None:
            found.headlines[source] = number
    for source, value in mapping(document.get("std")).items():
        if (number := number_of(value)) is not None:
            found.stds[source] = number
    found.seeds = [seed for seed in map(integer_of, sequence(document.get("seeds"))) if seed is not None]
    take_per_seed(found, mapping(document.get("per_seed")))
    found.bytes_total = integer_of(document.get("bytes_total"))
    found.hardware = " ".join(text_of(value) for value in mapping(document.get("hardware_text")).values())


def take_submission(found: Claims, document: dict[str, Any]) -> None:
    """Nothing; the claims have what submission.json says, in whichever dialect."""
    for key in HEADLINES:
        if (number := number_of(document.get(key))) is not None:
            found.headlines.setdefault("submission_json", number)
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
        seed = integer_of(key)
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
        text = path.read_text(encoding="utf-8", errors="replace")[:MOST_BYTES] if path.is_file() else ""
    except OSError:
        return
    if bpb := README_BPB.search(text):
        found.headlines["readme"] = float(bpb[1])
    if std := README_STD.search(text):
        found.stds["readme"] = float(std[1])
    for row in README_ROW.finditer(text):
        numbers = [float(word) for word in re.findall(r"\b[0-3]\.\d{4,10}\b", row[2])]
        if numbers and int(row[1]) not in found.bpb_of and not found.seeds:
            found.bpb_of[int(row[1])] = numbers[-1]
    found.seeds = found.seeds or list(found.bpb_of)


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def number_of(value: Any) -> float | None:
    """A number, also one in a string; never a truth value."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def integer_of(value: Any) -> int | None:
    """A whole number, also one in a string."""
    number = number_of(value.replace(",", "").replace("_", "") if isinstance(value, str) else value)
    return int(number) if number is not None and abs(number) < 2**63 and number == int(number) else None
