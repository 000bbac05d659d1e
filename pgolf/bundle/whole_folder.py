"""Folders that appear with all their files in them."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from trainer.recipe.writing import draft_path, remove_leftovers, write_whole


def write_folder(folder: Path, files: Mapping[str, bytes], last: str) -> None:
    """Write files into a folder, replacing those of the same names.

    A missing folder appears with all files in it. In a folder that is there, each file appears whole, and `last` after
    all others, so that a folder with this file is complete.

    Raises:
        OSError: a file cannot be written.
    """
    with suppress(FileNotFoundError):
        folder.stat()  # of links in a circle, which resolve() does not report as an OSError
    folder = folder.resolve()
    remove_leftovers(folder)
    if folder.exists():
        for name in sorted(files, key=lambda name: name == last):
            remove_leftovers(folder / name)
            write_whole(folder / name, files[name], draft=draft_path(folder / name))
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_path(folder)
    try:
        draft.mkdir()
        for name, content in files.items():
            write_whole(draft / name, content, draft=draft_path(draft / name))
        draft.rename(folder)
    except OSError as error:
        error.filename = str(folder)  # not that of the draft, which nobody asked for
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
