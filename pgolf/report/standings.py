"""The standings of many submission folders: read on every core, and kept in the user's cache by content."""

import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import cache, partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from platformdirs import user_cache_path

from pgolf.errors import MachineError
from pgolf.records.containers import MAX_BYTES
from pgolf.records.folder import is_inside, walk_files
from pgolf.report.standing import Standing, read_standing
from pgolf.rulesets.ruleset import Ruleset
from trainer.recipe.cores import allowed_cores
from trainer.recipe.reading import open_regular
from trainer.recipe.writing import write_whole

Progress = Callable[[bool], None]
"""Is called after each folder with whether it came from the cache."""

# A process takes half a second to start: fewer folders are read sooner without one.
FEWEST_FOR_A_POOL = 48
# Folders that a process is given at once.
CHUNK = 8


def read_standings(folders: Sequence[Path], ruleset: Ruleset, progress: Progress | None = None) -> list[Standing]:
    """Return the standing of each folder.

    Raises:
        MachineError: a process that reads was killed, which Linux does where memory runs out.
    """
    cores = allowed_cores()
    read = partial(cached_standing, ruleset=ruleset, sources=source_sha256())
    if cores == 1 or len(folders) < FEWEST_FOR_A_POOL:
        return list(counted_standings(map(read, folders), progress))
    # Not forked: the progress bar has a thread.
    with ProcessPoolExecutor(cores, get_context("spawn"), follow_parent) as pool:
        try:
            return list(counted_standings(pool.map(read, folders, chunksize=CHUNK), progress))
        except BrokenProcessPool as error:
            raise MachineError(
                "a process that reads records was killed; the usual cause is too little memory. "
                "Free some and repeat the command: it continues with the folders that were not read yet"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def counted_standings(answers: Iterator[tuple[dict[str, Any], bool]], progress: Progress | None) -> Iterator[Standing]:
    """Yield each standing, and report that it was read."""
    for facts, was_cached in answers:
        if progress is not None:
            progress(was_cached)
        yield Standing.from_json(facts)


def follow_parent() -> None:
    """End this process with its parent, and leave Ctrl-C to that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait until the parent process is gone, then end this one: its queue of folders would keep it waiting for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def cached_standing(folder: Path, ruleset: Ruleset, sources: str) -> tuple[dict[str, Any], bool]:
    """Return a folder's standing as JSON, and whether it was in the cache.

    An entry of other files, rules or sources, or a damaged one, is replaced. A cache that cannot be read or written is
    skipped.
    """
    key = content_sha256(folder, ruleset, sources)
    entry = entry_path(folder, ruleset)
    with suppress(OSError):
        digest, _, body = entry.read_bytes().partition(b"\n")
        if digest == entry_digest(key, body):
            return json.loads(body), True
    body = json.dumps(read_standing(folder, ruleset).as_json()).encode()
    with suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        write_whole(entry, entry_digest(key, body) + b"\n" + body)
    return json.loads(body), False


def entry_path(folder: Path, ruleset: Ruleset) -> Path:
    """Return the place of a folder's entry: one for each ruleset, so that changed folders leave nothing behind."""
    name = hashlib.sha256(os.fsencode(folder.resolve()) + b"\0" + ruleset.label.encode()).hexdigest()
    return user_cache_path("pgolf") / "standings" / name


def entry_digest(key: str, body: bytes) -> bytes:
    """Return the hash that begins an entry: of what it was read from, and of itself."""
    return hashlib.sha256(key.encode() + body).hexdigest().encode()


def content_sha256(folder: Path, ruleset: Ruleset, sources: str) -> str:
    """Return the hash of all that a standing depends on: files, place, rules, and the code that reads them."""
    found = hashlib.sha256()
    for part in (sources, ruleset.model_dump_json(), str(folder), str(folder.resolve())):
        found.update(f"{len(part)}:".encode() + part.encode(errors="surrogateescape"))
    for path in sorted(walk_files(folder)):
        content = file_sha256(path, folder)
        found.update(os.fsencode(path.relative_to(folder)) + b"\0" + content)
    return found.hexdigest()


def file_sha256(path: Path, folder: Path) -> bytes:
    """Return the hash of a file's size and of the bytes that a reader may see; of nothing for what is never read."""
    found = hashlib.sha256()
    with suppress(OSError, ValueError):
        if is_inside(path, folder):
            with open_regular(path) as file:
                found.update(f"{os.fstat(file.fileno()).st_size}:".encode())
                found.update(file.read(MAX_BYTES))
    return found.digest()


@cache
def source_sha256() -> str:
    """Return the hash of the code of pgolf and its trainer."""
    found = hashlib.sha256()
    for package in ("pgolf", "trainer"):
        for source in python_files(files(package)):
            found.update(source.read_bytes())
    return found.hexdigest()


def python_files(folder: Traversable) -> Iterator[Traversable]:
    """Yield the Python files of a package, sorted by name."""
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_dir():
            yield from python_files(each)
        elif each.name.endswith(".py"):
            yield each
