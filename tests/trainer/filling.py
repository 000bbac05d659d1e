"""A trainer whose disk fills up: `python -m tests.trainer.filling PHASE BYTES_LEFT DISK RUN_DIR`.

`score` is the moment before the scorer starts; the others are phases of state.json.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainer import train
from trainer.command import main
from trainer.runtime.journal import RunJournal

BALLAST = "ballast"


def fill(disk: Path, left: int) -> None:
    """Write a file that leaves so many bytes free."""
    with (disk / BALLAST).open("wb", buffering=0) as ballast:
        for size in (1 << 16, 1 << 10):
            with suppress(OSError):
                while True:
                    ballast.write(bytes(size))
        os.truncate(ballast.fileno(), max(0, ballast.tell() - left))


def plant(phase: str, left: int, disk: Path) -> None:
    """Fill the disk when the trainer comes to a phase."""
    report, score = RunJournal.report, train.score_in_subprocess

    def filling_report(self: RunJournal, **facts: Any) -> None:
        report(self, **facts)
        if facts.get("phase") == phase:
            fill(disk, left)

    def filling_score(*arguments: Any) -> None:
        if phase == "score":
            fill(disk, left)
        score(*arguments)

    RunJournal.report, train.score_in_subprocess = filling_report, filling_score  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    plant(sys.argv.pop(1), int(sys.argv.pop(1)), Path(sys.argv.pop(1)))
    sys.exit(main())
