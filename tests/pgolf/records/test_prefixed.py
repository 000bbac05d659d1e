"""Public logs as launchers and loggers would have written them: the answer stays the same."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgolf.records.folder import log_files
from pgolf.records.groups import record_groups
from pgolf.records.logs import read_bounded, read_gzip
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.records.conftest import RECORDS
from tests.trainer.test_plain_lines import PREFIXES

RULES = load_ruleset("parameter_golf")
NAMES = sorted(path.parent.name for path in RECORDS.glob("*/claims.json")) if RECORDS.is_dir() else []
# Two dialects whose logs are short.
SAMPLE = ("1493-sp8192-3layer-recur", "549-leakyrelu-legal-ttt")


def with_prefix(folder: Path, prefix: str, copy: Path) -> Path:
    """Copy a submission folder, with a prefix before each line of its logs."""
    shutil.copytree(folder, copy)
    for path in log_files(copy):
        content = read_gzip(path) if path.suffix == ".gz" else read_bounded(path)
        is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = content.decode("utf-16" if is_utf16 else "utf-8", errors="replace")
        changed = "\n".join(prefix + line for line in text.splitlines()).encode("utf-16" if is_utf16 else "utf-8")
        path.write_bytes(gzip.compress(changed, 1) if path.suffix == ".gz" else changed)
    return copy


def answer(folder: Path) -> list[dict[str, Any]]:
    """Return the groups of a folder without their folder and names, which differ between copies."""
    return [group.as_json() | {"folder": "", "name": ""} for group in record_groups(folder, RULES)]


@pytest.mark.parametrize("name", SAMPLE)
def test_a_prefix_changes_nothing(public_record: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    folder, expected = public_record(name), answer(public_record(name))
    for number, prefix in enumerate(PREFIXES[::4]):
        assert answer(with_prefix(folder, prefix, tmp_path / str(number))) == expected, prefix


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_prefix_changes_any_record(public_record: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    folder, expected = public_record(name), answer(public_record(name))
    for number, prefix in enumerate(PREFIXES):
        assert answer(with_prefix(folder, prefix, tmp_path / str(number))) == expected, prefix
