"""Plant a fault in each package, one at a time, and show which test of `make test` catches it.

`python -m benchmarks.planted_faults [NAME...]`: each fault (benchmarks/faults.py) is a small replacement in a copy of
the tree. Only the tests named beside it run, with the default markers. Exit code 1 if a fault is not caught or no
longer applies, or if a package has no fault.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.faults import FAULTS, Fault

ROOT = Path(__file__).parent.parent
PROGRAM = ("pgolf", "launchers", "trainer")
FOLDERS = (*PROGRAM, "experiments", "tests", "benchmarks", "docs")
FILES = ("pyproject.toml", "README.md", "spec.yaml")


def main(names: list[str]) -> int:
    """Plant the faults and print what catches them. Return the exit code."""
    chosen = [fault for fault in FAULTS if not names or any(name in fault.name for name in names)]
    missed = 0
    for fault in chosen:
        catcher = caught_by(fault)
        missed += catcher is None
        print(f"{fault.file:<34} {fault.name:<38} {catcher or 'NOT CAUGHT'}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} planted faults caught")
    without = packages() - {Path(fault.file).parent for fault in FAULTS}
    for package in sorted(without):
        print(f"no fault is planted in {package}")
    return 1 if missed or without else 0


def packages() -> set[Path]:
    """Return the folders of all packages, relative to the root."""
    return {file.parent.relative_to(ROOT) for name in PROGRAM for file in (ROOT / name).rglob("__init__.py")}


def caught_by(fault: Fault) -> str | None:
    """Return the first test that fails with the fault in place and passes without it; None if there is none."""
    with tempfile.TemporaryDirectory(prefix="pgolf-fault-") as folder:
        copy = Path(folder)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, copy / name)
        text = (copy / fault.file).read_text(encoding="utf-8")
        if (times := text.count(fault.right)) != 1:
            raise SystemExit(f"{fault.file}: {fault.right!r} is there {times} times; update the fault {fault.name!r}")
        (copy / fault.file).write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        # An ERROR does not count: a module that cannot be imported gives one although no test has noticed anything.
        failed = re.search(r"^FAILED (.+?)(?: - .*)?$", run_tests(copy, *fault.tests.split()).stdout, re.MULTILINE)
        (copy / fault.file).write_text(text, encoding="utf-8")
        if failed is None or run_tests(copy, failed[1]).returncode:
            return None
    return re.sub(r"^[^:]*/", "", failed[1])


def run_tests(copy: Path, *tests: str) -> "subprocess.CompletedProcess[str]":
    """Run tests in a copy of the tree, up to the first that fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
