"""The folder that a fetch fills: whose it is, where parts gather, what must not stay behind."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pgolf.data.sources import Source
from pgolf.errors import DataError, UsageError
from trainer.recipe.files import DataFiles, read_json

SOURCE_FILE = "source.json"
SCRATCH_FOLDER = ".fetch"


def check_folder(out: Path, source: Source) -> None:
    """Nothing, if the folder holds no other data.

    Raises: UsageError naming what it holds.
    """
    origin = out / SOURCE_FILE
    if not origin.exists():
        if DataFiles(out).manifest.exists():
            raise UsageError(f"{out} holds shards that were not fetched; give another --out")
        return
    try:
        held = read_json(origin)
    except (OSError, ValueError) as error:
        raise DataError(f"{origin}: {error}; delete it or give another --out") from error
    if (held.get("name"), held.get("repository")) != (source.name, source.repository):
        raise UsageError(
            f"{out} holds {held.get('name')} of {held.get('repository')}, not {source.name} of {source.repository}; "
            "give another --out"
        )


@contextmanager
def refusing(out: Path) -> Iterator[None]:
    """Nothing; where the block refuses the data, no manifest of it stays behind."""
    try:
        yield
    except DataError:
        DataFiles(out).manifest.unlink(missing_ok=True)
        raise


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """Where parts gather. Gone when the block succeeds; kept, to go on with, when it does not.

    Raises: UsageError when another process is fetching into the same folder.
    """
    scratch = out / SCRATCH_FOLDER
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another process is fetching into {out}; wait for it or give another --out") from None
        yield scratch
        shutil.rmtree(scratch)


def fetched_here(folder: Path) -> str | None:
    """The commit that a folder was fetched at, or None where no finished fetch is."""
    if not DataFiles(folder).manifest.exists():
        return None
    with suppress(OSError, ValueError):
        return str(read_json(folder / SOURCE_FILE).get("revision"))
    return None
