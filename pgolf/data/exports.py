"""What a published export consists of, as its repository lists it."""

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
    """The files of an export, in the order of their numbers."""

    train: list[HubFile]
    validation: list[HubFile]
    sidecars: list[HubFile]
    """UTF-8 bytes of each validation token, where tokens do not tell (CaseOps)."""
    tokenizer: HubFile
    announced_train_shards: int | None
    """What the repository's own manifest says."""

    @property
    def validation_tokens(self) -> int:
        """What the sizes of the files come to."""
        return sum((file.size - SHARD_HEADER_BYTES) // TOKEN_BYTES for file in self.validation)


def find_export(repository: HubRepository, source: Source) -> Export:
    """The files of an export.

    Raises: DataError naming what the repository does not have or has damaged.
    """
    if source.layout != "folder" and (manifest := repository.find_first(MANIFEST)):
        return official_export(repository, source.name, manifest)
    if source.layout == "official":
        raise DataError(f"{repository.name} has no {MANIFEST}; --from OWNER/REPO names another repository")
    return folder_export(repository, source.name)


def official_export(repository: HubRepository, name: str, manifest: HubFile) -> Export:
    """An export of a repository laid out like the challenge's own."""
    place = repository.place(MANIFEST)
    try:
        document = json.loads(repository.read_document(manifest))
        datasets = {str(entry["name"]): entry for entry in document["datasets"]}
        tokenizers = {str(entry["name"]): entry for entry in document["tokenizers"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{place} is not a list of datasets and tokenizers: {type(error).__name__} {error}") from error
    if name not in datasets:
        guess = nearest(name, [*datasets])
        raise DataError(
            f"{place} lists no {name}{f'; did you mean `{guess}`?' if guess else '.'} It lists {', '.join(datasets)}"
        )
    entry = datasets[name]
    stats = entry.get("stats") or {}
    tokenizer = tokenizers.get(str(entry.get("tokenizer_name")), {})
    export = shards_of(repository, f"datasets/datasets/{name}", named_tokenizer(repository, name, tokenizer))
    announced = stats.get("files_val")
    if announced not in (None, len(export.validation)):
        raise DataError(f"{place} says {announced} validation shards of {name}, {len(export.validation)} are there")
    return Export(export.train, export.validation, export.sidecars, export.tokenizer, stats.get("files_train"))


def named_tokenizer(repository: HubRepository, name: str, entry: dict[str, Any]) -> HubFile:
    """The SentencePiece model that an entry of the manifest names."""
    paths = [str(entry[key]) for key in ("model_path", "path", "vocab_path") if entry.get(key)]
    models = [path for path in paths if path.endswith(".model")]
    if not models:
        raise DataError(
            f"{repository.place(MANIFEST)}: the tokenizer of {name} is {', '.join(paths) or 'not named'}; this version "
            "reads SentencePiece .model files only"
        )
    # The challenge's downloader reads the path from datasets/; some manifests name it from the root.
    found = repository.find_first(f"datasets/{models[0]}", models[0])
    if found is None:
        raise DataError(f"{repository.name} has no {models[0]}, which {MANIFEST} names as the tokenizer of {name}")
    return found


def folder_export(repository: HubRepository, name: str) -> Export:
    """An export that is a folder of shards, with its tokenizer in it or elsewhere in the repository."""
    files = repository.list_files(recursive=True)
    models = [file for file in files if file.path.endswith(".model")]
    inside = [file for file in models if file.path.startswith(f"{name}/")]
    pieces = re.search(r"(?:sp|_)(\d+)", name)
    by_size = [file for file in models if pieces and pieces[1] in re.findall(r"\d+", file.name)]
    chosen = inside or by_size
    folders = sorted({file.path.rpartition("/")[0] for file in files if SHARD.fullmatch(file.name)})
    if name not in folders:
        raise DataError(f"{repository.name} has no shards in {name}/; it has some in {', '.join(folders) or 'none'}")
    if len(chosen) != 1:
        raise DataError(
            f"{repository.name}: one SentencePiece .model is expected for {name}, in its folder or with its number of "
            f"pieces in the file's name; found {', '.join(file.path for file in chosen or models) or 'none'}. Other "
            "kinds of tokenizer cannot be used by this version"
        )
    return shards_of(repository, name, chosen[0])


def shards_of(repository: HubRepository, folder: str, tokenizer: HubFile) -> Export:
    """The shards of a folder; training shards up to the first number that is missing.

    Raises: DataError when there are none, one has an impossible size, or a validation shard is missing.
    """
    found: dict[str, dict[int, HubFile]] = {"train": {}, "val": {}, "val_bytes": {}}
    for file in repository.list_files(folder):
        if match := SHARD.fullmatch(file.name):
            check_size(repository, file)
            found[match[1]][int(match[2])] = file
    for side in ("train", "val"):
        if not found[side]:
            raise DataError(f"{repository.place(folder)} holds no fineweb_{side}_NNNNNN.bin")
    for side in ("val", "val_bytes"):
        if sorted(found[side]) != [*range(len(found[side]))]:
            raise DataError(f"{repository.place(folder)}: fineweb_{side} shards {sorted(found[side])} are not complete")
    return Export(
        train=without_gap(found["train"]),
        validation=without_gap(found["val"]),
        sidecars=without_gap(found["val_bytes"]),
        tokenizer=tokenizer,
        announced_train_shards=None,
    )


def without_gap(shards: dict[int, HubFile]) -> list[HubFile]:
    """Shards 0, 1, 2 ... up to the first that is missing."""
    first_missing = next(number for number in range(len(shards) + 1) if number not in shards)
    return [shards[number] for number in range(first_missing)]


def check_size(repository: HubRepository, file: HubFile) -> None:
    if file.size <= SHARD_HEADER_BYTES or (file.size - SHARD_HEADER_BYTES) % TOKEN_BYTES:
        raise DataError(
            f"{repository.place(file.path)} has {file.size:,} bytes in the repository itself; a shard is "
            f"{SHARD_HEADER_BYTES:,} bytes and {TOKEN_BYTES} a token. Name another repository with --from OWNER/REPO"
        )
