"""The user's own files that a recipe names, and the names of their copies in a run directory."""

import hashlib
from pathlib import Path
from typing import Any

from trainer.recipe.files import LOCAL_FOLDER
from trainer.recipe.local import local_codes
from trainer.recipe.recipe import Recipe


def local_files(recipe: Recipe) -> dict[str, Path]:
    """Return the user's own files that a recipe names, by the name of their copy in the run directory."""
    return {copy_name(Path(code.file)): Path(code.file) for code in local_codes(recipe)}


def copy_name(file: Path) -> str:
    """Return a name with a hash of the content, unique among files of one name; a copy's name is unchanged."""
    mark = f"{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}_"
    return mark + file.name.removeprefix(mark)


def with_own_copies(value: Any) -> Any:
    """Return a recipe's JSON with the user's own files replaced by their copies in the run directory."""
    if not isinstance(value, dict):
        return value
    copy = {"file": f"{LOCAL_FOLDER}/{copy_name(Path(value['file']))}"} if "class_name" in value else {}
    return {key: with_own_copies(member) for key, member in value.items()} | copy
