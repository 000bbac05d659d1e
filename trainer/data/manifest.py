"""The manifest of a folder of shards, as far as a run needs it."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from trainer.recipe.files import DataFiles
from trainer.recipe.reading import open_regular, read_bytes
from trainer.runtime.failure import DataRefused

UNKNOWN_BYTES = -1
# Part of the names of sidecars, which the pattern of validation shards matches too.
SIDECAR = "_bytes_"


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
    """UTF-8 bytes of its text; UNKNOWN_BYTES where no manifest gives them."""
    sidecars: list[ShardFile] = field(default_factory=list)
    """Files in the format of shards with the bytes of each token, if the text was transformed."""


def read_split(data: DataFiles, name: str, vocabulary_size: int) -> DataSplit:
    """Return the split named "train" or "validation", its shards in the order of the manifest.

    Raises:
        DataRefused: the manifest is missing, malformed or for another vocabulary size.
    """
    if not data.needs_manifest and not data.manifest.exists():
        return unlisted_split(data, name)
    try:
        manifest = json.loads(read_bytes(data.manifest))
        found, entries = manifest["tokenizer"]["vocabulary_size"], manifest[name]
        shards = [ShardFile(data.shard(entry["file"]), int(entry["tokens"])) for entry in entries["shards"]]
        byte_count = int(entries["bytes"])
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise DataRefused(f"{data.manifest}: {type(error).__name__}: {error}; run `pgolf data verify`") from error
    if found != vocabulary_size:
        raise DataRefused(f"{data.root} has a tokenizer of {found} pieces, the recipe expects {vocabulary_size}")
    split = DataSplit(shards, byte_count)
    if data.transform:
        from trainer.data.sidecars import with_listed_sidecars

        split = with_listed_sidecars(split, data, manifest, name)
    return split


def unlisted_split(data: DataFiles, name: str) -> DataSplit:
    """Return a split of a folder without a manifest, as the challenge's scripts read it. Its bytes are unknown.

    Raises:
        DataRefused: the folder has no shard of the split.
    """
    pattern = {"train": "fineweb_train_*.bin", "validation": "fineweb_val_*.bin"}[name]
    paths = sorted(data.root.glob(pattern))
    shards = [ShardFile(path, promised_tokens(path)) for path in paths if SIDECAR not in path.name]
    if not shards:
        raise DataRefused(f"there is no {data.root / pattern}; give the folder of the shards with --data or DATA_PATH")
    split = DataSplit(shards, UNKNOWN_BYTES)
    if data.transform:
        from trainer.data.sidecars import with_found_sidecars

        split = with_found_sidecars(split, data, pattern)
    elif len(shards) < len(paths):
        raise DataRefused(
            f"{data.root} has {SIDECAR} files: its text was transformed, which the recipe does not expect"
        )
    return split


def promised_tokens(path: Path) -> int:
    """Return the number of tokens that the header of a shard gives."""
    with open_regular(path) as file:
        return int.from_bytes(file.read(12)[8:], "little")
