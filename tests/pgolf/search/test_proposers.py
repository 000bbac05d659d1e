"""Proposers: the optimizer improves and is deterministic; proposals of commands are validated."""

import math
import random
import sys
from pathlib import Path
from statistics import median

import pytest

from pgolf.errors import PgolfError, SpecError
from pgolf.search.ledger import Ledger
from pgolf.search.proposers import CommandProposer, OptimizerProposer, point_of
from pgolf.specs.search import Search
from pgolf.specs.sweeps import Range

SEARCH = Search(
    values={"recipe.x": Range(low=0.001, high=10.0, log=True), "recipe.kind": ["a", {"kind": "b", "k": 1}, None]},
    startup=6,
)


def distance(x: float, kind: object) -> float:
    """Return the distance from the best point, x = 1 with kind "a"."""
    return abs(math.log(x)) + (kind != "a")


def run_optimizer(folder: Path, points: int) -> list[float]:
    """Return the distance of each proposal in turn."""
    ledger, found = Ledger(folder / "ledger.yaml"), []
    for number in range(1, points + 1):
        point = OptimizerProposer().propose(SEARCH, ledger)
        found.append(distance(point["recipe.x"], point["recipe.kind"]))
        ledger.add("proposed", point=point)
        ledger.add("tried", number=number, rung=0, seed=1, run=f"r{number}", val_bpb=found[-1])
    return found


def test_the_optimizer_improves_on_chance_and_is_deterministic(tmp_path: Path) -> None:
    first, again = run_optimizer(tmp_path / "one", 30), run_optimizer(tmp_path / "two", 30)
    assert first == again
    chance = random.Random(1)
    random_distances = [distance(10 ** chance.uniform(-3, 1), chance.choice("abc")) for _ in range(500)]
    assert median(first[-12:]) < 0.6 * median(random_distances)


def test_proposed_values_are_in_the_space(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.yaml")
    ledger.add("proposed", point={"recipe.x": 99.0, "recipe.kind": "z"}, by="a person, outside of the space")
    ledger.add("tried", number=1, rung=0, seed=1, run="r", val_bpb=1.0)
    point = OptimizerProposer().propose(SEARCH, ledger)
    assert 0.001 <= point["recipe.x"] <= 10.0
    assert point["recipe.kind"] in SEARCH.values["recipe.kind"]


def test_points_can_be_dotted_keys_or_overlays() -> None:
    assert point_of("recipe.a.b: 1\nrecipe: {c: {d: [1, 2]}}", "x") == {"recipe.a.b": 1, "recipe.c.d": [1, 2]}
    assert point_of("recipe: {averaging: {kind: ema, decay: 0.9}}", "x") == {
        "recipe.averaging": {"kind": "ema", "decay": 0.9}
    }


@pytest.mark.parametrize(
    "text",
    ["", "just words", "- 1", "spend.usd: 1000", "launch: {on: modal}", "ruleset: own.yaml", "a: [", "seeds: [1]"],
)
def test_invalid_proposals_are_refused(text: str) -> None:
    with pytest.raises(SpecError):
        point_of(text, "--propose x")


def test_a_command_gets_space_and_ledger_and_its_errors_are_quoted(tmp_path: Path) -> None:
    program = tmp_path / "propose.py"
    program.write_text(
        "import json, sys\nasked = json.load(sys.stdin)\n"
        "assert asked['space']['recipe.x']['low'] == 0.001\n"
        "print('recipe.x:', len(asked['ledger']) + 0.5)\n"
    )
    ledger = Ledger(tmp_path / "ledger.yaml")
    ledger.add("begun", spec="toy", spec_sha256="a")
    assert CommandProposer(f"{sys.executable} {program}").propose(SEARCH, ledger) == {"recipe.x": 1.5}
    program.write_text("raise SystemExit('no idea')")
    with pytest.raises(PgolfError, match="code 1; last line of stderr: no idea"):
        CommandProposer(f"{sys.executable} {program}").propose(SEARCH, ledger)
    with pytest.raises(PgolfError, match="No such file"):
        CommandProposer("/nowhere/propose").propose(SEARCH, ledger)
