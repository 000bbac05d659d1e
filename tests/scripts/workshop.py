"""A folder of somebody who has a script: the script, its helper, its text, and a spec that can be changed."""

import json
import shutil
from pathlib import Path
from typing import Any

from pgolf.rundir import RunDirectory
from tests.conftest import Ended, run_pgolf

HERE = Path(__file__).parent
TEXT = "".join(path.read_text(encoding="utf-8") for path in sorted((HERE.parent.parent / "docs").glob("*.md")))
TRAIN, VALIDATION = TEXT[:80_000].encode(), TEXT[80_000:84_000].encode()


class Workshop:
    """The folder, and pgolf in it."""

    def __init__(self, folder: Path, script: str = "baseline_dialect.py") -> None:
        self.folder = folder
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "train.txt").write_bytes(TRAIN)
        (folder / "data" / "val.txt").write_bytes(VALIDATION)
        for name in (script, "toy_learner.py"):
            shutil.copyfile(HERE / name, folder / name)
        self.document: dict[str, Any] = {
            "spec_version": 1,
            "name": "toy",
            "program": {
                "kind": "script",
                "path": script,
                "files": ["toy_learner.py"],
                "env": {"DATA_PATH": str(folder / "data")},
            },
        }

    def script(self, text: str) -> None:
        """Replace the spec's script by a text that needs no other file."""
        self.document["program"] |= {"files": [], "env": {}}
        (self.folder / self.document["program"]["path"]).write_text(text)

    def write_large_code(self) -> list[str]:
        """Write files of 17,000,000 bytes together, each of which may be read, and return their names."""
        names = [f"large_{number}.py" for number in range(5)]
        for name in names:
            (self.folder / name).write_bytes(b"#" * 3_400_000)
        return names

    def __call__(self, *arguments: str, timeout: float = 200) -> Ended:
        """`pgolf ARGUMENTS` with spec.yaml as it stands now."""
        (self.folder / "spec.yaml").write_text(json.dumps(self.document, indent=2))
        return run_pgolf(self.folder, *arguments, timeout=timeout)

    def run(self, *arguments: str) -> RunDirectory:
        """Return a finished run."""
        ended = self("run", "spec.yaml", "--json", *arguments)
        assert ended.code == 0, ended.err
        return RunDirectory(Path(ended.json["runs"][0]["run_dir"]))
