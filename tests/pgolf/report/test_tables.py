"""Tables in every format show the numbers of the results."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pgolf.cli.display.groups import groups_table
from pgolf.report.groups import RunGroup, group_runs
from pgolf.report.tables import (
    COLUMNS,
    markdown_table,
    markdown_text,
    seed_cells,
    summary_parts,
)
from tests.pgolf.report.builders import LIMIT, result_of, write_run, write_seeds

SCORES = {1: 1.2345678901, 2: 1.25, 42: 1.1999}


@pytest.fixture
def groups(tmp_path: Path) -> list[RunGroup]:
    """Three seeds that fit, and one run of another experiment that does not."""
    runs = write_seeds(tmp_path, SCORES)
    heavy = {"model_bytes": LIMIT, "code_bytes": 3, "total_bytes": LIMIT + 3, "limit_bytes": LIMIT}
    other = result_of(7, 1.3, name="heavy", spec_sha256="e" * 64, artifact=heavy)
    return group_runs([*runs, write_run(tmp_path / "heavy-eeeeeeee" / "seed-7", other)])


def markdown_cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_markdown_has_one_row_per_seed_and_the_mean(groups: list[RunGroup]) -> None:
    head, rule, *rows = markdown_cells(markdown_table(groups))
    assert head == [*COLUMNS]
    assert all(cell == "---" for cell in rule)
    assert [(row[0], row[1], row[2]) for row in rows] == [
        *(("exp", str(seed), f"{bpb:.6f}") for seed, bpb in SCORES.items()),
        ("exp", "n=3", f"mean {np.mean([*SCORES.values()]):.6f} ± {np.std([*SCORES.values()], ddof=1):.6f}"),
        ("heavy", "7", "1.300000"),
    ]
    assert {len(row) for row in rows} == {len(COLUMNS)}


def test_markdown_shows_spread_bytes_and_verdicts(groups: list[RunGroup]) -> None:
    _, _, *rows = markdown_cells(markdown_table(groups))
    assert f"± {np.std([*SCORES.values()], ddof=1):.6f}" in rows[3][2]
    assert rows[3][3].startswith("95 % ")
    assert [row[8] for row in rows] == ["15,050,001", "15,050,002", "15,050,042", "15,050,042", "16,000,003"]
    assert [row[9] for row in rows] == ["fits", "fits", "fits", "all fit", "over_cap"]


def test_markdown_lists_the_problems_below(groups: list[RunGroup]) -> None:
    problems = [line for line in markdown_table(groups).splitlines() if line.startswith("- ")]
    assert problems[0] == "- heavy: over_cap: seeds [7] are over the limit"
    assert [line.split(": ")[1] for line in problems] == ["over_cap", "single_seed"]


def test_a_wide_terminal_shows_the_same_cells(groups: list[RunGroup]) -> None:
    console = Console(file=io.StringIO(), width=250)
    console.print(groups_table(groups))
    stream = console.file
    assert isinstance(stream, io.StringIO)
    shown = stream.getvalue()
    for group in groups:
        assert all(cell in shown for row in group.rows for cell in seed_cells(group, row))
        if len(group.rows) > 1:
            assert all(part in shown for part in summary_parts(group))


def test_no_groups_give_an_empty_table() -> None:
    assert markdown_cells(markdown_table([])) == [[*COLUMNS], ["---"] * len(COLUMNS)]


def test_a_hostile_name_is_escaped_in_markdown() -> None:
    assert markdown_text("a|b\n<script>&") == "a\\|b &lt;script>&amp;"
