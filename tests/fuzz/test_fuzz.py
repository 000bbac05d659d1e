"""Damaged run folders, data, tokenizers, specs, records and searches: every command refuses them in its own words."""

from pathlib import Path

import pytest

from pgolf.rundir import RunDirectory
from tests.fuzz.runner import MOST_MEGABYTES, fuzz
from tests.fuzz.subjects import SHARES, Subject, make_subjects


@pytest.fixture(scope="module")
def good(micro_run: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "good"


@pytest.fixture(scope="module")
def subjects(micro_run: RunDirectory, good: Path) -> dict[str, Subject]:
    return make_subjects(micro_run.root, good)


@pytest.mark.parametrize("count", [12, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("name", SHARES)
def test_damaged_files_end_no_command_with_a_traceback(
    subjects: dict[str, Subject], good: Path, tmp_path: Path, name: str, count: int
) -> None:
    """`count` is the number of inputs of all subjects. `python -m tests.fuzz` prints the figures."""
    tally = fuzz(subjects[name], good, tmp_path / "work", range(count * SHARES[name] // 100))
    assert tally.failures == []
    assert tally.megabytes < MOST_MEGABYTES
