"""A trainer that kills itself while it writes: `python -m tests.trainer.deadly WANTED MOMENT RUN_DIR [--score]`.

It dies `before` or `after` it puts the file of that name in place, `within` its temporary file, or in the midst of a
`line`.
"""

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from trainer.command import main
from trainer.runtime import journal


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("this process is dead")


def plant(wanted: str, moment: str) -> None:
    """Replace what this process writes files with."""
    replace, fsync, append = Path.replace, os.fsync, journal.append_line

    def deadly_replace(self: Path, target: Path) -> Path:
        is_it = Path(target).name.startswith(wanted)
        if is_it and moment == "before":
            die()
        done = replace(self, target)
        if is_it:
            die()
        return done

    def deadly_fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if moment == "within" and name.startswith("." + wanted):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            die()
        fsync(descriptor)

    def deadly_append(path: Path, line: str) -> None:
        if path.name == wanted:
            with path.open("a") as file:
                file.write(line[: len(line) // 2])
            die()
        append(path, line)

    Path.replace, os.fsync, journal.append_line = deadly_replace, deadly_fsync, deadly_append  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    plant(sys.argv.pop(1), sys.argv.pop(1))
    sys.exit(main())
