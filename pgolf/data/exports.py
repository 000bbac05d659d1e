"""Finds the files of a published export in its repository's listing."""

import json
import re
from dataclasses import dataclass
from typing import Any

from pgolf.data.hub import HubFile, HubRepository
from pgolf.data.sources import Source
from pgolf.errors import DataError
from pgolf.specs.suggestions import nearest
from trainer.recipe.data import SHARD_HEADER_BYTES, TOKEN_BYTES

MANIFEST = "datasets/manifest.json"
SHARD = re.compile(r"fineweb_(train|val|val_bytes)_(\d+)\.bin")


@dataclass(frozen=True, slots=True)
class Export:
    """The files of an export, ordered by shard number."""

    train: list[HubFile]
    validation: list[HubFile]
    sidecars: list[HubFile]
    """Files with the UTF-8 bytes of each validation token, for tokenizers that do not determine them (CaseOps)."""
    tokenizer: HubFile
    announced_train_shards: int | None
    """Number of training shards in the repository's own manifest."""

    @property
    def validation_tokens(self) -> int:
        """Number of validation tokens, computed from the file sizes."""
        return sum((file.size - SHARD_HEADER_BYTES) // TOKEN_BYTES for file in self.validation)


def find_export(repository: HubRepository, source: Source) -> Export:
    """Return the files of an export, whichever layout its repository has.

    Raises:
        DataError: a file is missing or damaged; names it.
    """
    if source.layout != "folder" and (manifest := repository.find_first(MANIFEST)):
        return read_official_export(repository, source.name, manifest)
    if source.layout == "official":
        raise DataError(f"{repository.name} has no {MANIFEST}; choose another repository with --from OWNER/REPO")
    return read_folder_export(repository, source.name)


def read_official_export(repository: HubRepository, name: str, manifest: HubFile) -> Export:
    """Return an export of a repository with the layout of the challenge's own."""
    place = repository.place(MANIFEST)
    try:
        document = json.loads(repository.read_document(manifest))
        datasets = {str(entry["name"]): entry for entry in document["datasets"]}
        tokenizers = {str(entry["name"]): entry for entry in document["tokenizers"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{place}: expected an object with `datasets` and `tokenizers`: {type(error).__name__} {error}"
        ) from error
    if name not in datasets:
        guess = nearest(name, [*datasets])
        raise DataError(
            f"{place} lists no {name}{f'; did you mean `{guess}`?' if guess else '.'} It lists {', '.join(datasets)}"
        )
    entry = datasets[name]
    stats = entry.get("stats") or {}
    tokenizer = tokenizers.get(str(entry.get("tokenizer_name")), {})
    export = list_shards(repository, f"datasets/datasets/{name}", find_tokenizer(repository, name, tokenizer))
    announced = stats.get("files_val")
    if announced not in (None, len(export.validation)):
        raise DataError(
            f"{place}: {name} has {announced} validation shards by the manifest, found {len(export.validation)}"
        )
    return Export(export.train, export.validation, export.sidecars, export.tokenizer, stats.get("files_train"))


def find_tokenizer(repository: HubRepository, name: str, entry: dict[str, Any]) -> HubFile:
    """Return the SentencePiece model that a tokenizer entry of the manifest names."""
    paths = [str(entry[key]) for key in ("model_path", "path", "vocab_path") if entry.get(key)]
    models = [path for path in paths if path.endswith(".model")]
    if not models:
        raise DataError(
            f"{repository.place(MANIFEST)}: the tokenizer of {name} is {', '.join(paths) or 'missing'}; expected a "
            "SentencePiece .model file, the only kind that this version reads"
        )
    # The challenge's downloader resolves the path against datasets/; some manifests give it from the root.
    found = repository.find_first(f"datasets/{models[0]}", models[0])
    if found is None:
        raise DataError(f"{repository.name} has no {models[0]}, which {MANIFEST} names as the tokenizer of {name}")
    return found


def read_folder_export(repository: HubRepository, name: str) -> Export:
    """Return an export that is a folder of shards, with its tokenizer inside or elsewhere in the repository."""
    files = repository.list_files(recursive=True)
    models = [file for file in files if file.path.endswith(".model")]
    inside = [file for file in models if file.path.startswith(f"{name}/")]
    pieces = re.search(r"(?:sp|_)(\d+)", name)
    by_size = [file for file in models if pieces and pieces[1] in re.findall(r"\d+", file.name)]
    chosen = inside or by_size
    folders = sorted({file.path.rpartition("/")[0] for file in files if SHARD.fullmatch(file.name)})
    if name not in folders:
        raise DataError(
            f"{repository.name} has no shards in {name}/; folders with shards: {', '.join(folders) or 'none'}"
        )
    if len(chosen) != 1:
        raise DataError(
            f"{repository.name}: found {', '.join(file.path for file in chosen or models) or 'no tokenizer'}, expected "
            f"one SentencePiece .model for {name}, in its folder or with its vocabulary size in the file name. This "
            "version reads no other kind of tokenizer"
        )
    return list_shards(repository, name, chosen[0])


def list_shards(repository: HubRepository, folder: str, tokenizer: HubFile) -> Export:
    """Return the shards of a folder, with training shards up to the first missing number.

    Raises:
        DataError: there are none, one has an impossible size, or a validation shard is missing.
    """
    found: dict[str, dict[int, HubFile]] = {"train": {}, "val": {}, "val_bytes": {}}
    for file in repository.list_files(folder):
        if match := SHARD.fullmatch(file.name):
            check_size(repository, file)
            found[match[1]][int(match[2])] = file
    for side in ("train", "val"):
        if not found[side]:
            raise DataError(f"{repository.place(folder)}: found no fineweb_{side}_NNNNNN.bin")
    for side in ("val", "val_bytes"):
        if sorted(found[side]) != [*range(len(found[side]))]:
            raise DataError(
                f"{repository.place(folder)}: found fineweb_{side} shards {sorted(found[side])}, expected all from 0 on"
            )
    return Export(
        train=up_to_first_gap(found["train"]),
        validation=up_to_first_gap(found["val"]),
        sidecars=up_to_first_gap(found["val_bytes"]),
        tokenizer=tokenizer,
        announced_train_shards=None,
    )


def up_to_first_gap(shards: dict[int, HubFile]) -> list[HubFile]:
    """Return shards 0, 1, 2 ... up to the first missing number."""
    first_missing = next(number for number in range(len(shards) + 1) if number not in shards)
    return [shards[number] for number in range(first_missing)]


def check_size(repository: HubRepository, file: HubFile) -> None:
    if file.size <= SHARD_HEADER_BYTES or (file.size - SHARD_HEADER_BYTES) % TOKEN_BYTES:
        raise DataError(
            f"{repository.place(file.path)}: the repository lists {file.size:,} bytes, expected {SHARD_HEADER_BYTES:,} "
            f"plus {TOKEN_BYTES} for each token. Choose another repository with --from OWNER/REPO"
        )
