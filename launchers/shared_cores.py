"""Other trainers that compute on the same CPU cores."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pgolf.findings import Finding
from pgolf.launching import Job


def shared_cores(job: Job) -> list[Finding]:
    """Return a warning if another run computes on the cores of this one; nothing for a GPU."""
    if job.gpu is not None:
        return []
    own = job.run.root.resolve()
    others = sorted({run_dir for run_dir in runs_on_these_cores() if run_dir != own})
    if not others:
        return []
    names = ", ".join(f"{path.parent.name}/{path.name}" for path in others)
    message = f"other runs train on the same cores, so all of them will be slower: {names}"
    return [Finding("warn", "shared_cores", message, "wait for them, or give each run its own cores with taskset")]


def runs_on_these_cores() -> Iterator[Path]:
    """Yield the run directories of trainers whose allowed cores overlap with those of this process."""
    cores = os.sched_getaffinity(0)
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):  # it has ended, belongs to another user, or is not a trainer
            words = (entry / "cmdline").read_bytes().split(b"\0")
            module = words.index(b"trainer")
            if words[module - 1] == b"-m" and os.sched_getaffinity(int(entry.name)) & cores:
                yield Path(os.fsdecode(words[module + 1])).resolve()
