"""The destination folder of `pgolf data prepare`: from what it was prepared, and how a new one gets its files.

prepared.json is written first and the manifest last. A folder with the first alone is unfinished and may be replaced;
one with both is complete.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pgolf.data.manifests import read_manifest
from pgolf.data.sources import SOURCE_FILE
from pgolf.documents import read_model
from pgolf.errors import DataError, UsageError
from trainer.recipe.data import Transform
from trainer.recipe.files import DataFiles
from trainer.recipe.writing import write_json

ORIGIN_FILE = "prepared.json"
SHARD = re.compile(r"fineweb_(train|val|val_bytes)_\d{6}\.bin")
OPTIONS = {
    "text_sha256": "SHA-256 of the text",
    "validation_fraction": "--val-fraction",
    "tokenizer_sha256": "--tokenizer",
    "vocabulary_size": "--vocab",
    "is_overlap_dropped": "--drop-overlap",
    "transform": "--transform",
}
DropReason = Literal["near_duplicate", "shared_text"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A training document that was left out because of a validation document."""

    id: str
    reason: DropReason
    """It is a near duplicate of one, or contains spans of one of which at least half is in the training text."""


class Origin(BaseModel):
    """prepared.json: the text and the options that decide every byte of the shards, and what was left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    text_sha256: str
    validation_fraction: float
    tokenizer_sha256: str | None
    """Hash of a given tokenizer; None if one was trained."""
    vocabulary_size: int | None
    """Pieces of a trained tokenizer."""
    is_overlap_dropped: bool
    transform: Transform | None = None
    dropped: list[Dropped] = []
    manifest_sha256: str | None = None
    """Hash of the manifest that belongs to it; None as long as nothing is prepared."""


def check_free(out: Path) -> None:
    """Check that the folder holds no shards, or shards of `pgolf data prepare`.

    Raises:
        UsageError: it holds other shards.
    """
    if (out / SOURCE_FILE).exists():
        raise UsageError(f"{out} holds data of `pgolf data fetch`; choose another --out")
    if (out / ORIGIN_FILE).exists():
        return
    if DataFiles(out).manifest.exists():
        raise UsageError(
            f"{out} already contains shards, and no {ORIGIN_FILE} says from which text; choose another --out"
        )
    if any(shards_in(out)):
        raise UsageError(f"{out} holds shards that `pgolf data prepare` did not write; choose another --out")


def read_complete(out: Path, wanted: Origin) -> Origin | None:
    """Return prepared.json of a complete folder that was prepared from the wanted text and options, else None.

    Raises:
        UsageError: the folder is complete, but from another text or with other options.
    """
    if not DataFiles(out).manifest.exists():
        return None
    held = read_origin(out)
    differences = [
        f"{name} {shown(getattr(held, key))}, now {shown(getattr(wanted, key))}"
        for key, name in OPTIONS.items()
        if getattr(held, key) != getattr(wanted, key)
    ]
    if differences:
        raise UsageError(
            f"{out} is complete, but was prepared differently: {'; '.join(differences)}. Choose another --out, or "
            "delete the folder"
        )
    with suppress(DataError):  # a damaged manifest is replaced
        if read_manifest(out).sha256 != held.manifest_sha256:
            raise UsageError(
                f"{out}: manifest.json is about other data than {ORIGIN_FILE}; choose another --out, or delete the "
                "folder"
            )
    return held


def shown(value: object) -> str:
    """Return a value for people: the beginning of a hash, "none" for None."""
    return value[:12] if isinstance(value, str) else "none" if value is None else str(value)


def read_origin(out: Path) -> Origin:
    """Return prepared.json.

    Raises:
        UsageError: it cannot be read.
    """
    path = out / ORIGIN_FILE
    try:
        return read_model(path, Origin)
    except (OSError, ValueError) as error:
        raise UsageError(f"{error}; choose another --out, or delete the folder") from error


def publish(files: Path, out: Path, origin: Origin) -> None:
    """Move prepared files into the folder, in place of those of an unfinished or damaged one."""
    manifest = DataFiles(files).manifest
    write_json(files / ORIGIN_FILE, origin.model_dump())
    DataFiles(out).manifest.unlink(missing_ok=True)
    (files / ORIGIN_FILE).replace(out / ORIGIN_FILE)
    for shard in shards_in(out):
        shard.unlink()
    for file in files.iterdir():
        if file != manifest:
            file.replace(out / file.name)
    manifest.replace(DataFiles(out).manifest)


def shards_in(folder: Path) -> list[Path]:
    """Return the files with the names of shards."""
    return [file for file in folder.glob("*.bin") if SHARD.fullmatch(file.name)]
