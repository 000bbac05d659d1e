"""The evidence of problems: each number stands in the file and on the line that it names."""

import gzip
import re
from pathlib import Path

import pytest

from pgolf.records.groups import record_groups
from pgolf.records.printed import Printed, Problem
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.records.conftest import RECORDS

RULES = load_ruleset("parameter_golf")
CASES = RECORDS.parent / "cases" / "records"
FOLDERS = sorted(path.parent for root in (RECORDS, CASES) if root.is_dir() for path in root.rglob("submission.json"))
# What is said of whole files, of settings, or of what is not there: there is no number to show.
WITHOUT_NUMBERS = {
    "broken_submission_json", "configuration_differs_between_seeds", "duplicate_log", "duplicate_runs_in_second_log",
    "loss_not_finite", "no_log", "no_size_in_log", "run_printed_twice_in_one_log", "single_seed",
    "two_log_sets_same_seeds", "unreadable_log", "utf16_log",
}  # fmt: skip


def lines_of(path: Path) -> list[str]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode("utf-16" if content[:2] == b"\xff\xfe" else "utf-8", errors="replace").split("\n")


def stands_on(number: Printed, line: str) -> bool:
    """Return whether a line has a number with these digits, whatever its separators and its unit."""
    found = [each.replace(",", "").replace("_", "") for each in re.findall(r"\d[\d,_]*(?:\.\d+)?", line)]
    as_written = f"{number.value:.{number.decimals}f}"
    times = [f"{number.value * 1000:.0f}", f"{number.value / 60:.1f}"] if "time" in number.key else []
    scaled = [f"{number.value / unit:.{digits}f}" for unit in (1e6, 2**20, 1e3, 2**10) for digits in range(1, 7)]
    if number.value == int(number.value):
        found += [each.removesuffix(".0").removesuffix(".000") for each in found]
    return (
        as_written in found
        or any(each in found for each in times)
        or (number.decimals == 0 and any(each in found for each in scaled))
    )


@pytest.mark.skipif(not FOLDERS, reason="the shared records are not beside the checkout")
def test_every_number_of_a_problem_is_printed_where_it_says() -> None:
    wrong, seen = [], 0
    for folder in FOLDERS:
        for group in record_groups(folder, RULES):
            for found in group.problems():
                assert isinstance(found, Problem), found
                assert found.evidence or found.rule in WITHOUT_NUMBERS, (folder.name, found)
                for each in found.evidence:
                    if each.line is not None:
                        seen += 1
                        if not stands_on(each, lines_of(folder / each.file)[each.line - 1]):
                            wrong.append((folder.name, found.rule, each))
    assert wrong == []
    assert seen > 100
