"""A user of pgolf, with whom the tests of launchers work."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pgolf.rundir import RunDirectory
from tests.conftest import Ended, run_pgolf
from tests.launchers.backends import Backend

SHORT = ("--with", "micro")
PATIENCE_SECONDS = 120


class User:
    """A user who runs pgolf in a folder, with one backend."""

    def __init__(self, folder: Path, backend: Backend) -> None:
        self.folder, self.backend = folder, backend
        (folder / "backend.yaml").write_text(json.dumps({"launch": backend.launch}))

    def run(self, *arguments: str) -> Ended:
        """Run `pgolf run quickstart` on the backend."""
        return run_pgolf(self.folder, "run", "quickstart", *arguments, "--with", "backend.yaml", "--json")

    def __call__(self, *arguments: str) -> Ended:
        return run_pgolf(self.folder, *arguments)

    def start(self, *arguments: str) -> RunDirectory:
        """Start a detached run and return its directory."""
        ended = self.run(*arguments, "--detach")
        assert ended.code == 0, ended.err
        return RunDirectory(Path(ended.json["runs"][0]["run_dir"]))

    def wait_for_step(self, run: RunDirectory, step: int) -> None:
        """Wait until `pgolf status` shows that the run has trained so many steps."""
        self.wait(run, lambda row: (row["step"] or 0) >= step)

    def wait_for_end(self, run: RunDirectory) -> None:
        """Wait until the run has ended."""
        self.wait(run, lambda row: row["state"] not in ("queued", "running"))

    def wait_until_cancel_finds_nothing(self, run: RunDirectory) -> None:
        """Wait until there is nothing to stop: a trainer that has ended its run still has to unload torch."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self("cancel", run.run_id).code != 4:
            assert time.monotonic() < deadline, "`pgolf cancel` still finds something to stop"

    def wait(self, run: RunDirectory, is_there: Callable[[dict[str, Any]], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            (row,) = self("status", "--json").json["runs"]
            if is_there(row):
                return
            assert time.monotonic() < deadline, (row, run.files.log.read_text() if run.files.log.exists() else "")
            time.sleep(0.2)
