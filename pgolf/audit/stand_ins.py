"""The files that every submission has, and the names that accepted folders use for them instead."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pgolf.records.folder import MAIN, is_inside, walk_files
from pgolf.records.readme import NAME as README
from pgolf.records.submission_json import FILE as CLAIMS
from pgolf.records.text_files import read_text

REQUIRED = ("README.md", CLAIMS, MAIN)
TEXT = re.compile(r".+\.(?:md|rst|markdown)", re.IGNORECASE)
SCRIPT = re.compile(r".+\.(?:py|ipynb)(?:\.(?:gz|xz|lzma|bz2|zip))?", re.IGNORECASE)
TRAINS = re.compile(r"train|main|run", re.IGNORECASE)
# A JSON file with one of these keys is about a submission and not a configuration or a tokenizer.
CLAIM_KEY = re.compile(r"val_bpb|bpb|val_loss|author|github_id", re.IGNORECASE)

MAX_DOCUMENTS = 50


def find_script(names: Iterable[str]) -> str | None:
    """Return the path that is the training script: train_gpt.py, else the one nearest to the top and to that name."""
    scripts = [name for name in names if SCRIPT.fullmatch(name)]
    return min(scripts, key=rank_of_script, default=None)


def rank_of_script(name: str) -> tuple[bool, bool, int, bool, str]:
    """Return a key that sorts scripts by how likely they are the one that trains."""
    path = Path(name)
    return name != MAIN, path.name != MAIN, len(path.parts), not TRAINS.search(path.name), name


def find_stand_in(required: str, folder: Path) -> str | None:
    """Return the file of a folder that serves as a required one under another name, else None."""
    names = sorted(names_in(folder), key=lambda name: (len(Path(name).parts), name))
    if required == MAIN:
        return find_script(names)
    if required == CLAIMS:
        documents = [name for name in names if name.lower().endswith(".json")][:MAX_DOCUMENTS]
        return next((name for name in documents if has_claims(folder / name)), None)
    found = [name for name in names if README.fullmatch(Path(name).name)]
    return next(iter(found or filter(TEXT.fullmatch, names)), None)


def names_in(folder: Path) -> Iterator[str]:
    """Yield the paths of the folder's own regular files that are not empty."""
    for path in walk_files(folder):
        if is_inside(path, folder) and path.stat().st_size:
            yield path.relative_to(folder).as_posix()


def has_claims(path: Path) -> bool:
    """Return whether a JSON file states a score or an author."""
    try:
        document = json.loads(read_text(path) or "")
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and any(map(CLAIM_KEY.search, document))
