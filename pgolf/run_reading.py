"""Reads the documents of a run: a damaged one is an error that names the file, its key, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pgolf import run_files
from pgolf.documents import read_document, read_rows
from pgolf.errors import RunDamaged
from trainer.recipe.reading import read_json

T = TypeVar("T")
MISSING = (FileNotFoundError, NotADirectoryError)


def damaged(reason: str) -> RunDamaged:
    """Return the error for a file of a run that cannot be used; the reason begins with the file."""
    return RunDamaged(f"{reason}; restore the file, or start another attempt with --fresh")


@contextmanager
def naming_damage() -> Iterator[None]:
    """Turn the errors of reading a file into RunDamaged, except that a file or its folder is missing."""
    try:
        yield
    except MISSING:
        raise
    except (OSError, ValueError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise damaged(reason) from error


def read_if_any(path: Path, schema: type[T]) -> T | None:
    """Return a document of a run, or None if there is none.

    Raises:
        RunDamaged: it does not satisfy the schema.
    """
    try:
        with naming_damage():
            return read_document(path, schema)
    except MISSING:
        return None


def read_present(path: Path, schema: type[T]) -> T:
    """Return a document that a run must have.

    Raises:
        RunDamaged: it is missing, or does not satisfy the schema.
    """
    found = read_if_any(path, schema)
    if found is None:
        raise damaged(f"{path} is missing")
    return found


def read_rows_if_any(path: Path, schema: type[T]) -> list[T]:
    """Return the rows of a file that a run appends to; none before there is one.

    Raises:
        RunDamaged: a row does not satisfy the schema.
    """
    try:
        with naming_damage():
            return read_rows(path, schema)
    except MISSING:
        return []


def read_any_result(path: Path) -> run_files.Result:
    """Return result.json of a finished run.

    Raises:
        RunDamaged: it is missing or is not a result.
    """
    result = read_present(path, run_files.Result)
    if result.get("source") == "script":
        read_present(path, run_files.ScriptResult)
    else:
        read_recipe_result(path)
    return result


def read_recipe_result(path: Path) -> run_files.RecipeResult:
    """Return result.json of a finished run of the bundled trainer.

    Raises:
        RunDamaged: it is missing or is not such a result.
    """
    result = read_present(path, run_files.RecipeResult)
    if result["headline"]["stage"] not in {metric["stage"] for metric in result["metrics"]}:
        raise damaged(f"{path}: headline.stage: expected the stage of one of its metrics")
    return result


def read_or_empty(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, empty if the file is missing or damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}
