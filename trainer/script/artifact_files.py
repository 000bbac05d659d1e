"""The packed model that a script has left, and what it comes to with the code."""

import shutil
from pathlib import Path
from typing import Any

from trainer.dialects.logged import LoggedRun
from trainer.recipe.files import RunFiles, write_json

# File systems tell times apart no better than this.
TIME_GRAIN_SECONDS = 1.0


def find_artifact_files(work: Path, patterns: list[str], since: float) -> list[Path]:
    """Files below the folder of the script's work that match a pattern and were written since a moment."""
    found = {path for pattern in patterns for path in work.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.stat().st_mtime >= since - TIME_GRAIN_SECONDS)


def choose_artifact_files(found: list[Path], logged_bytes: int | None) -> list[Path]:
    """The one file that has the bytes which the log gives, if there is just one; else all, for all may be shipped."""
    alike = [path for path in found if path.stat().st_size == logged_bytes]
    return alike if len(alike) == 1 else found


def copy_artifact(
    files: RunFiles, work: Path, chosen: list[Path], run: dict[str, Any], logged: LoggedRun
) -> dict[str, Any]:
    """The part `artifact` of a result; the packed model lies in the artifact folder, with the bytes of everything.

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
    said = None if logged.size is None else logged.size.total
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
