"""Sidecars: files in the format of shards with the bytes of the original text that each token stands for."""

from dataclasses import replace
from typing import Any

from trainer.data.manifest import SIDECAR, DataSplit, ShardFile, promised_tokens
from trainer.recipe.files import DataFiles
from trainer.runtime.failure import DataRefused


def with_listed_sidecars(split: DataSplit, data: DataFiles, manifest: Any, name: str) -> DataSplit:
    """Return a split with the sidecars that a manifest lists.

    Raises:
        DataRefused: the text was not transformed as the recipe says, or the list is malformed.
    """
    if manifest.get("transform") != data.transform:
        raise DataRefused(
            f"{data.root} has text transformed by {manifest.get('transform') or 'nothing'}, the recipe expects "
            f"{data.transform} (recipe.data.transform)"
        )
    try:
        entries = [(data.shard(entry["file"]), int(entry["tokens"])) for entry in manifest[name].get("sidecars", ())]
    except (ValueError, LookupError, TypeError) as error:
        raise DataRefused(f"{data.manifest}: {type(error).__name__}: {error}; run `pgolf data verify`") from error
    return replace(split, sidecars=[ShardFile(path, tokens) for path, tokens in entries])


def with_found_sidecars(split: DataSplit, data: DataFiles, pattern: str) -> DataSplit:
    """Return a split of a folder without a manifest with the sidecars that the pattern of its shards matches too."""
    found = sorted(path for path in data.root.glob(pattern) if SIDECAR in path.name)
    return replace(split, sidecars=[ShardFile(path, promised_tokens(path)) for path in found])
