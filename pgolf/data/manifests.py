"""manifest.json: the contents of a folder of shards."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pgolf.errors import DataError
from trainer.recipe.files import DataFiles
from trainer.recipe.reading import read_json
from trainer.recipe.writing import write_json


class ManifestPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class ShardEntry(ManifestPart):
    """One shard file."""

    file: str
    tokens: int
    sha256: str


class Split(ManifestPart):
    """The training or the validation split."""

    documents: int
    tokens: int
    """Number of tokens, including one BOS for each document."""
    bytes: int
    """UTF-8 bytes of the text."""
    shards: list[ShardEntry]


class TokenizerEntry(ManifestPart):
    """tokenizer.model."""

    vocabulary_size: int
    sha256: str
    lossless: bool | None
    """Whether decoding every document's tokens gave its text back; null if the documents were not available."""


class Manifest(ManifestPart):
    """The identity of a data set: its hash enters every spec_sha256 that trains on it."""

    format: Literal["pgolf-shards-1"] = "pgolf-shards-1"
    name: str
    tokenizer: TokenizerEntry
    train: Split
    validation: Split

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON, which contains no path and no date."""
        canonical = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def write(self, folder: Path) -> None:
        write_json(DataFiles(folder).manifest, self.model_dump())


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder.

    Raises:
        DataError: it is missing or malformed.
    """
    path = DataFiles(folder).manifest
    try:
        return Manifest.model_validate(read_json(path))
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing; create it with `pgolf data prepare TEXT --out {folder}` or `pgolf data fetch`"
        ) from None
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(f"{path}: {describe_error(error)}") from error


def describe_error(error: Exception) -> str:
    """Return an error in one line; of a validation error, the first detail."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
