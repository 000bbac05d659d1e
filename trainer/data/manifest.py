"""The manifest of a folder of shards, as far as a run needs it."""

from dataclasses import dataclass
from pathlib import Path

from trainer.recipe.files import DataFiles, read_json
from trainer.runtime.failure import DataRefused


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One shard and the number of tokens that it must hold."""

    path: Path
    tokens: int


@dataclass(frozen=True, slots=True)
class DataSplit:
    """The training or the validation split."""

    shards: list[ShardFile]
    bytes: int
    """UTF-8 bytes of its text."""


def read_split(data: DataFiles, name: str, vocabulary_size: int) -> DataSplit:
    """Return the split named "train" or "validation", its shards in the order of the manifest.

    Raises:
        DataRefused: the manifest is missing, malformed or for another vocabulary size.
    """
    try:
        manifest = read_json(data.manifest)
        found, split = manifest["tokenizer"]["vocabulary_size"], manifest[name]
        shards = [ShardFile(data.shard(entry["file"]), entry["tokens"]) for entry in split["shards"]]
        byte_count = int(split["bytes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataRefused(f"{data.manifest}: {type(error).__name__}: {error}; run `pgolf data verify`") from error
    if found != vocabulary_size:
        raise DataRefused(f"{data.root} has a tokenizer of {found} pieces, the recipe expects {vocabulary_size}")
    return DataSplit(shards, byte_count)
