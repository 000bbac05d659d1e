"""The user's own files that a recipe names, under the names that a run's copies of them have."""

import hashlib
from pathlib import Path
from typing import Any

from trainer.recipe.files import LOCAL_FOLDER
from trainer.recipe.local import local_codes
from trainer.recipe.recipe import Recipe


def local_files(recipe: Recipe) -> dict[str, Path]:
    """The files of the user's own that a recipe names, by the name of the copy that the run directory keeps."""
    return {copy_name(Path(code.file)): Path(code.file) for code in local_codes(recipe)}


def copy_name(file: Path) -> str:
    """A name that two files of one name do not share; a copy keeps its own."""
    mark = f"{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}_"
    return mark + file.name.removeprefix(mark)


def with_own_copies(value: Any) -> Any:
    """A recipe as JSON in which each file of the user's own is the run directory's copy."""
    if not isinstance(value, dict):
        return value
    copy = {"file": f"{LOCAL_FOLDER}/{copy_name(Path(value['file']))}"} if "class_name" in value else {}
    return {key: with_own_copies(member) for key, member in value.items()} | copy
