"""Plant a fault in each package, one at a time, and show which test of `make test` catches it.

`python -m benchmarks.planted_faults [NAME...]`: each fault is a small replacement in a copy of the tree. Only the tests
named beside it run, with the default markers. Exit code 1 if a fault is not caught, or no longer applies.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("pgolf", "launchers", "trainer", "experiments", "tests", "benchmarks", "docs")
FILES = ("pyproject.toml", "README.md", "spec.yaml")


@dataclass(frozen=True, slots=True)
class Fault:
    """A replacement that makes the program wrong, and the tests that should notice."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str
    """Files or folders, separated by spaces."""


FAULTS = (
    Fault(
        "total without the code bytes",
        "trainer/export.py",
        '"total_bytes": model_bytes + code_bytes}',
        '"total_bytes": model_bytes}',
        "tests/pgolf/bundle/test_submission.py",
    ),
    Fault(
        "last validation target dropped",
        "trainer/evaluation/windows.py",
        "length = min(recipe.window, targets - start)",
        "length = min(recipe.window, targets - 1 - start)",
        "tests/trainer/evaluation/test_windows.py",
    ),
    Fault(
        "quantizer off by one code",
        "trainer/quantizer/grid.py",
        ".round().clamp(-self.levels",
        ".floor().clamp(-self.levels",
        "tests/trainer/quantizer/test_rtn.py",
    ),
    Fault(
        "checkpoint checksum not compared",
        "trainer/runtime/checkpoint.py",
        "or content[len(MAGIC) : start] != hashlib.sha256(payload).digest()",
        "or False",
        "tests/trainer/runtime/test_checkpoint.py",
    ),
    Fault(
        "run lock shared instead of exclusive",
        "trainer/runtime/lock.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        "tests/trainer/runtime/test_lock.py",
    ),
    Fault(
        "artifact checksum not compared",
        "trainer/codec/container.py",
        "if hashlib.sha256(body).digest() != content[len(ARTIFACT_MAGIC) : start]:",
        "if False:",
        "tests/trainer/codec/test_container.py",
    ),
    Fault(
        "EMA decay applied to the wrong side",
        "trainer/averaging/ema.py",
        "share = 1.0 - self.decay if",
        "share = self.decay if",
        "tests/trainer/averaging",
    ),
    Fault(
        "spec hash ignores the data",
        "pgolf/specs/identity.py",
        'recipe_json(recipe) | {"data": data_sha256}), "ruleset"',
        'recipe_json(recipe) | {"data": None}), "ruleset"',
        "tests/pgolf/specs/test_identity.py",
    ),
    Fault(
        "overlays applied in reverse order",
        "pgolf/specs/loading.py",
        "for overlay in overlays:",
        "for overlay in reversed(overlays):",
        "tests/pgolf/specs/test_merging.py",
    ),
    Fault(
        "population deviation",
        "pgolf/statistics.py",
        "std = stdev(values)",
        "std = stdev(values) * sqrt((n - 1) / n)",
        "tests/pgolf/test_statistics.py",
    ),
    Fault(
        "limit exclusive",
        "pgolf/rulesets/limits.py",
        "- limit_bytes)",
        "- limit_bytes + 1)",
        "tests/pgolf/rulesets/test_limits.py",
    ),
    Fault(
        "failed check exits with 1",
        "pgolf/errors.py",
        "    exit_code = 3",
        "    exit_code = 1",
        "tests/pgolf/cli/test_main_job.py",
    ),
    Fault(
        "running job started again",
        "pgolf/campaign/dispatch.py",
        'return status.state != "ended" or status.exit_code == 0',
        "return False",
        "tests/pgolf/campaign/test_queue.py",
    ),
    Fault(
        "worst point promoted",
        "pgolf/search/halving.py",
        "return min(scored, key=lambda pair: (pair[0], pair[1].number))[1]",
        "return max(scored, key=lambda pair: (pair[0], pair[1].number))[1]",
        "tests/pgolf/search/test_halving.py",
    ),
    Fault(
        "shard hash not compared",
        "pgolf/data/verify.py",
        "if (found := known.sha256(path)) != sha256:",
        "if (found := known.sha256(path)) == '':",
        "tests/pgolf/data/test_verify.py",
    ),
    Fault(
        "size rule inverted",
        "pgolf/preflight/rules.py",
        "    if bytes_over(low, limit_bytes):",
        "    if not bytes_over(low, limit_bytes):",
        "tests/pgolf/preflight/test_rules.py",
    ),
)


def main(names: list[str]) -> int:
    """Plant the faults and print what catches them. Return the exit code."""
    chosen = [fault for fault in FAULTS if not names or any(name in fault.name for name in names)]
    missed = 0
    for fault in chosen:
        catcher = caught_by(fault)
        missed += catcher is None
        print(f"{fault.file:<34} {fault.name:<38} {catcher or 'NOT CAUGHT'}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} planted faults caught")
    return 1 if missed else 0


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
