"""The destination folder of a fetch: its source, and removal of a manifest that no longer holds."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pgolf.data.prepared_folder import ORIGIN_FILE
from pgolf.data.sources import SOURCE_FILE, Source
from pgolf.errors import DataError, UsageError
from pgolf.rulesets.ruleset import Ruleset
from trainer.recipe.files import DataFiles
from trainer.recipe.reading import read_json


def source_json(source: Source, ruleset: Ruleset, data_folder: Path) -> dict[str, Any]:
    """Return what is known of a published export, and which revision of it is in a folder of data."""
    facts = ruleset.data.get(source.name)
    return {
        "name": source.name,
        "repository": source.repository,
        "vocabulary_size": facts.vocabulary_size if facts else None,
        "validation_tokens": facts.validation_tokens if facts else None,
        "note": source.note,
        "revision_here": fetched_revision(data_folder / source.name),
    }


def check_folder(out: Path, source: Source) -> None:
    """Check that the folder is empty or holds data of the same source.

    Raises:
        UsageError: it holds other data; names it.
        DataError: the record of where its data comes from cannot be read.
    """
    if (out / ORIGIN_FILE).exists():
        raise UsageError(f"{out} holds data of `pgolf data prepare`; choose another --out")
    origin = out / SOURCE_FILE
    if not origin.exists():
        if DataFiles(out).manifest.exists():
            raise UsageError(f"{out} holds shards that `pgolf data fetch` did not write; choose another --out")
        return
    try:
        held = read_json(origin)
    except (OSError, ValueError) as error:
        raise DataError(f"{origin}: {error}; delete it or choose another --out") from error
    if (held.get("name"), held.get("repository")) != (source.name, source.repository):
        raise UsageError(
            f"{out} holds {held.get('name')} of {held.get('repository')}, not {source.name} of {source.repository}; "
            "choose another --out"
        )


@contextmanager
def removing_manifest_on_error(out: Path) -> Iterator[None]:
    """Delete the folder's manifest if the block raises DataError, so that refused data cannot be used."""
    try:
        yield
    except DataError:
        DataFiles(out).manifest.unlink(missing_ok=True)
        raise


def fetched_revision(folder: Path) -> str | None:
    """Return the commit of a folder's completed fetch, or None if there is none."""
    if not DataFiles(folder).manifest.exists():
        return None
    with suppress(OSError, ValueError):
        return str(read_json(folder / SOURCE_FILE).get("revision"))
    return None
