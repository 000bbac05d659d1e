"""`pgolf spec list` tells what each shipped spec asks and how large its model is."""

import io

import pytest
import yaml
from rich.console import Console

from pgolf.cli.spec import specs_table
from pgolf.specs.shipped import shipped_specs
from tests.conftest import Pgolf

# As their READMEs and logs state them.
PUBLISHED = {"baseline": 17_059_912, "pr549_leaky_ttt": 26_928_220, "pr576_int5_gptq": 33_580_124}


def test_json_has_name_question_parameters_and_file(pgolf: Pgolf) -> None:
    rows = pgolf("spec", "list", "--json").json["specs"]
    assert {row["name"]: row["file"] for row in rows} == {name: str(file) for name, file in shipped_specs().items()}
    for row in rows:
        assert row["question"] == yaml.safe_load(shipped_specs()[row["name"]].read_text())["question"]
    counts = {row["name"]: row["parameters"] for row in rows}
    assert counts | PUBLISHED == counts


@pytest.mark.parametrize("columns", [80, 140])
def test_the_table_fits_and_cuts_nothing(pgolf: Pgolf, columns: int) -> None:
    rows = pgolf("spec", "list", "--json").json["specs"]
    console = Console(file=io.StringIO(), width=columns)
    console.print(specs_table(rows))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    starts = [number for number, line in enumerate(lines) if number and not line.startswith(" ")]
    assert len(starts) == len(rows)
    for row, start, end in zip(rows, starts, [*starts[1:], len(lines)], strict=True):
        words = " ".join(lines[start:end]).split()
        assert words == [row["name"], f"{row['parameters']:,}", *row["question"].split()]
