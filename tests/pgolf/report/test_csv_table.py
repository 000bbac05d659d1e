"""CSV shows the numbers of the results, unrounded."""

import csv
import io
from pathlib import Path

import pytest

from pgolf.report.csv_table import csv_table, spreadsheet_cell
from pgolf.report.groups import RunGroup, group_runs
from tests.pgolf.report.builders import LIMIT, result_of, write_run, write_seeds

SCORES = {1: 1.2345678901, 2: 1.25, 42: 1.1999}


@pytest.fixture
def groups(tmp_path: Path) -> list[RunGroup]:
    """Three seeds that fit, and one run of another experiment that does not."""
    runs = write_seeds(tmp_path, SCORES)
    heavy = {"model_bytes": LIMIT, "code_bytes": 3, "total_bytes": LIMIT + 3, "limit_bytes": LIMIT}
    other = result_of(7, 1.3, name="heavy", spec_sha256="e" * 64, artifact=heavy)
    return group_runs([*runs, write_run(tmp_path / "heavy-eeeeeeee" / "seed-7", other)])


def test_csv_holds_the_unrounded_numbers_of_every_seed(groups: list[RunGroup]) -> None:
    rows = [*csv.DictReader(io.StringIO(csv_table(groups)))]
    assert [float(row["val_bpb"]) for row in rows] == [*SCORES.values(), 1.3]
    for row in rows[:3]:
        result = result_of(int(row["seed"]), float(row["val_bpb"]))
        assert float(row["val_loss"]) == result["headline"]["val_loss"]
        assert int(row["total_bytes"]) == result["artifact"]["total_bytes"]
        assert float(row["train_seconds"]) == result["clock"]["train_seconds"]
        assert int(row["steps"]) == result["steps"]
    assert [row["problems"] for row in rows] == ["", "", "", "over_cap"]


@pytest.mark.parametrize("name", ['a,b"c', "line\nbreak", "plain"])
def test_csv_round_trips_any_name(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result_of(1, 1.2, name=name))
    (row,) = csv.DictReader(io.StringIO(csv_table(group_runs([run]))))
    assert row["name"] == name


def test_no_groups_give_a_header() -> None:
    assert csv_table([]) == "name\n"


def test_a_hostile_name_is_escaped_for_spreadsheets() -> None:
    assert spreadsheet_cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert [spreadsheet_cell(cell) for cell in ("-", "exp", -1.5, None)] == ["-", "exp", -1.5, None]
