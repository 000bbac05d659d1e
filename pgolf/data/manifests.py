"""manifest.json: the contents of a folder of shards."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from pgolf.documents import Text, read_model
from pgolf.errors import DataError
from trainer.recipe.data import Transform
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
    sidecars: list[ShardEntry] = []
    """Files in the format of shards with the bytes of the original text that each token stands for: one for each
    validation shard of transformed text.
    """

    @property
    def files(self) -> list[ShardEntry]:
        """Shards and sidecars."""
        return [*self.shards, *self.sidecars]


class TokenizerEntry(ManifestPart):
    """tokenizer.model."""

    vocabulary_size: Count
    sha256: Sha256
    lossless: bool | None
    """Whether decoding every document's tokens gave its text back; null if the documents were not available."""


class Manifest(ManifestPart):
    """The identity of a data set: its hash enters every spec_sha256 that trains on it.

    Transformed text has format 2; text as it is has format 1, which knows neither `transform` nor `sidecars`.
    """

    format: Literal["pgolf-shards-1", "pgolf-shards-2"] = "pgolf-shards-1"
    name: str
    transform: Transform | None = None
    """How the text was rewritten before it was tokenized."""
    tokenizer: TokenizerEntry
    train: Split
    validation: Split

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON, which contains no path and no date."""
        canonical = json.dumps(self.document(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """Return the JSON of the manifest, with the keys that its format has."""
        later: Any = {"transform": True, "train": {"sidecars"}, "validation": {"sidecars"}}
        return self.model_dump(exclude=later if self.transform is None else None)

    @model_validator(mode="after")
    def check_format(self) -> Self:
        """Check that format and contents agree: only transformed text has sidecars, one for each validation shard."""
        is_transformed = self.transform is not None
        if (self.format == "pgolf-shards-2") != is_transformed:
            raise ValueError(f"format {self.format} cannot have transform {self.transform}")
        expected = [shard.tokens for shard in self.validation.shards] if is_transformed else []
        found = [sidecar.tokens for sidecar in self.validation.sidecars]
        if found != expected or self.train.sidecars:
            raise ValueError(f"found validation sidecars of {found} tokens, expected {expected}, and none of training")
        return self

    def write(self, folder: Path) -> None:
        write_json(DataFiles(folder).manifest, self.document())


def how_to_fetch(name: str) -> str:
    """Return the command that fetches an export, if this is the name of a known one."""
    from pgolf.data.sources import SOURCES

    return f" or `pgolf data fetch {name}`" if name in SOURCES else " or `pgolf data fetch`"


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
            f"{path} is missing; create it with `pgolf data prepare TEXT --out {folder}`{how_to_fetch(folder.name)}"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{error}; prepare or fetch the data again") from error
