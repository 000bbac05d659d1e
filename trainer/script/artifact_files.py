"""The packed model that a script has written, and its bytes with those of the code."""

import shutil
from pathlib import Path
from typing import Any

from trainer.dialects.logged import LoggedRun
from trainer.recipe.files import RunFiles
from trainer.recipe.writing import write_json

# The coarsest time stamps of file systems.
TIME_GRAIN_SECONDS = 1.0


def find_artifact_files(work: Path, patterns: list[str], since: float) -> list[Path]:
    """Return the files in the working folder that match a pattern and were written since a moment."""
    found = {path for pattern in patterns for path in work.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.stat().st_mtime >= since - TIME_GRAIN_SECONDS)


def choose_artifact_files(found: list[Path], logged_bytes: int | None) -> list[Path]:
    """Return the one file of the size that the log gives, if there is exactly one; else all files found."""
    alike = [path for path in found if path.stat().st_size == logged_bytes]
    return alike if len(alike) == 1 else found


def copy_artifact(
    files: RunFiles, work: Path, chosen: list[Path], run: dict[str, Any], logged: LoggedRun
) -> dict[str, Any]:
    """Copy the packed model into the artifact folder, write bytes.json, and return the `artifact` of the result.

    Units: bytes.
    """
    files.artifact.mkdir(exist_ok=True)
    sizes = {}
    for path in chosen:
        name = path.relative_to(work).as_posix()
        kept = files.artifact / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)
        sizes[name] = kept.stat().st_size
    said = None if logged.size is None or logged.size.is_rounded else logged.size.total
    model = sum(sizes.values()) if sizes else logged.packed_bytes
    write_json(files.bytes, {"groups": sizes, "code": run["code_files"]})
    return {
        "model_bytes": model,
        "code_bytes": run["code_bytes"],
        "total_bytes": None if model is None else model + run["code_bytes"],
        "limit_bytes": run["limit_bytes"],
        "basis": "files" if sizes else "log" if model is not None else None,
        "files": sizes,
        "logged_total_bytes": said,
    }
