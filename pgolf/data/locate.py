"""Resolves a recipe's data slot to a folder of verified shards."""

import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from pathlib import Path

from platformdirs import user_cache_path

from pgolf.data.embedded import embedded_documents
from pgolf.data.manifests import Manifest
from pgolf.data.prepare import Preparation, prepare
from pgolf.data.verify import check_files
from pgolf.errors import DataError, MachineError
from pgolf.rulesets.ruleset import Ruleset
from trainer.recipe.data import DataRecipe, Embedded, Shards
from trainer.recipe.locks import hold_lock
from trainer.recipe.recipe import Recipe

# A tenth of the documents: more than 100,000 bytes with every Python version.
EMBEDDED_VALIDATION_FRACTION = 0.1
# Part of the cache folder's name; increase it when the corpus or its split changes.
EMBEDDED_VERSION = 2


@dataclass(frozen=True, slots=True)
class LocatedData:
    """A folder of shards whose files have the hashes of its manifest."""

    folder: Path
    manifest: Manifest


def locate_data(data: DataRecipe, on_progress: Callable[[str], None]) -> LocatedData:
    """Return the data of a slot; the embedded corpus is prepared on first use.

    Raises:
        DataError: the data is missing, damaged, or has another vocabulary size.
    """
    match data:
        case Shards():
            folder = Path(data.folder)
        case Embedded():
            folder = embedded_folder(data, on_progress)
            check_or_rebuild(folder, data, on_progress)
    manifest = locate_folder(folder).manifest
    size = manifest.tokenizer.vocabulary_size
    if data.vocabulary_size not in (None, size):
        raise DataError(
            f"{folder}: found a tokenizer of {size:,} pieces, expected {data.vocabulary_size:,} "
            "(recipe.data.vocabulary_size)"
        )
    if data.transform != manifest.transform:
        raise DataError(
            f"{folder}: found text transformed by {manifest.transform or 'nothing'}, expected "
            f"{data.transform or 'nothing'} (recipe.data.transform)"
        )
    return LocatedData(folder, manifest)


def locate_folder(folder: Path) -> LocatedData:
    """Return a folder of shards after verifying its files.

    Raises:
        DataError: it is missing or damaged.
    """
    return LocatedData(folder, check_files(folder))


def resolve_vocabulary(recipe: Recipe, located: LocatedData | None, ruleset: Ruleset) -> Recipe | None:
    """Return the recipe with its vocabulary size, or None if it cannot be determined.

    The size comes from the spec, the manifest, or the ruleset's facts about a known folder name.
    """
    if recipe.data.vocabulary_size is not None:
        return recipe
    size = located.manifest.tokenizer.vocabulary_size if located else None
    if size is None and isinstance(recipe.data, Shards) and (facts := ruleset.data.get(Path(recipe.data.folder).name)):
        size = facts.vocabulary_size
    return None if size is None else replace(recipe, data=replace(recipe.data, vocabulary_size=size))


def embedded_folder(data: Embedded, on_progress: Callable[[str], None]) -> Path:
    """Return the cached shards of the embedded corpus, built under a lock if they are missing.

    Raises:
        MachineError: the cache cannot be written.
    """
    cache = user_cache_path("pgolf")
    name = f"embedded-{EMBEDDED_VERSION}-python{platform.python_version()}-{data.vocabulary_size}"
    name += "" if data.documents is None else f"-{data.documents}"
    name += "" if data.transform is None else f"-{data.transform}"
    folder = cache / name
    if (folder / "manifest.json").exists():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with hold_lock(cache / f"{name}.lock", on_progress, patience=inf):
            if not (folder / "manifest.json").exists():
                build_embedded(folder, data, on_progress)
    except OSError as error:
        raise MachineError(
            f"{error.filename or cache}: {error.strerror}; the cache of the embedded corpus must be writable"
        ) from error
    return folder


def check_or_rebuild(folder: Path, data: Embedded, on_progress: Callable[[str], None]) -> None:
    """Verify the cached shards and rebuild them if they are damaged."""
    try:
        check_files(folder)
    except DataError as error:
        on_progress(f"{error}; rebuilding the embedded corpus")
        build_embedded(folder, data, on_progress)


def build_embedded(folder: Path, data: Embedded, on_progress: Callable[[str], None]) -> None:
    """Prepare the embedded corpus in a temporary folder, then move it into place."""
    on_progress("preparing the embedded corpus (first use)")
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    preparation = Preparation(
        name="embedded",
        out=unfinished,
        validation_fraction=EMBEDDED_VALIDATION_FRACTION,
        vocabulary_size=data.vocabulary_size,
        is_overlap_dropped=True,
        transform=data.transform,
    )
    prepare(islice(embedded_documents(), data.documents), preparation, on_progress)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.replace(folder)
