"""manifest.json: the contents of a folder of shards."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from pgolf.documents import Text, read_model
from pgolf.errors import DataError
from trainer.recipe.files import DataFiles
from trainer.recipe.strict import Amount, Count
from trainer.recipe.writing import write_json

FileName = Annotated[str, Text(r"^[^/\x00]+$")]
Sha256 = Annotated[str, Text(r"^[0-9a-f]{64}$")]


class ManifestPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class ShardEntry(ManifestPart):
    """One shard file."""

    file: FileName
    tokens: Amount
    sha256: Sha256


class Split(ManifestPart):
    """The training or the validation split."""

    documents: Amount
    tokens: Amount
    """Number of tokens, including one BOS for each document."""
    bytes: Amount
    """UTF-8 bytes of the text."""
    shards: list[ShardEntry]


class TokenizerEntry(ManifestPart):
    """tokenizer.model."""

    vocabulary_size: Count
    sha256: Sha256
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
        return read_model(path, Manifest)
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing; create it with `pgolf data prepare TEXT --out {folder}` or `pgolf data fetch`"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{error}; prepare or fetch the data again") from error
