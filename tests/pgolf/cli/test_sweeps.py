"""Sweeps on the command line: planning, running, continuing, and names of groups."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pgolf.campaign.planning import check_spending_cap
from pgolf.errors import CheckFailed
from pgolf.specs.parts import Spend
from tests.scripts.workshop import Workshop

RATES = "program.env.MATRIX_LR=0.1,0.2,0.4"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "own")


def test_a_sweep_is_planned_run_once_and_named_by_its_values(workshop: Workshop) -> None:
    plans = workshop("seeds", "spec.yaml", "--n", "2", "--set", RATES, "--dry-run", "--json").json["plans"]
    assert [(plan["name"], plan["to_run"]) for plan in plans] == [
        (f"toy MATRIX_LR={rate}", [1337, 42]) for rate in ("0.1", "0.2", "0.4")
    ]
    assert len({plan["folder"] for plan in plans}) == 3
    assert not (workshop.folder / "runs").exists()
    alone = workshop.run("--set", "program.env.MATRIX_LR=0.2")
    ended = workshop("run", "spec.yaml", "--set", RATES, "--json")
    assert [Path(row["run_dir"]).name for row in ended.json["runs"]] == ["seed-1337"] * 3
    assert str(alone.root) in {row["run_dir"] for row in ended.json["runs"]}
    assert f"{alone.run_id} in" not in ended.err, "a finished run is not started again"
    groups = workshop("report", "--json").json["groups"]
    assert [group["name"] for group in groups] == [f"toy MATRIX_LR={rate}" for rate in ("0.1", "0.2", "0.4")]
    assert [group["swept"] for group in groups] == [{"program.env.MATRIX_LR": rate} for rate in ("0.1", "0.2", "0.4")]
    table = workshop("run", "spec.yaml", "--set", RATES, "--dry-run")
    assert "would run 0 of 3" in table.out
    page = workshop("report", "--format", "html").out
    assert "Swept: program.env.MATRIX_LR" in page


def test_points_that_preflight_refuses_are_left_out(workshop: Workshop) -> None:
    large = workshop.write_large_code()
    workshop.document["sweep"] = {
        "kind": "points",
        "points": [{"program.files": ["toy_learner.py", *large]}, {"program.env.MATRIX_LR": 0.2}],
    }
    ended = workshop("run", "spec.yaml", "--json")
    assert ended.code == 0, ended.err
    assert len(ended.json["runs"]) == 1
    assert "artifact_size" in ended.err
    workshop.document["sweep"]["points"].pop()
    workshop.document["sweep"]["points"].append(
        {"program.files": [*large, "toy_learner.py"], "program.env.MATRIX_LR": 0.3}
    )
    ended = workshop("run", "spec.yaml")
    assert ended.code == 3
    assert "refuses all 2 points" in ended.err


def test_invalid_and_duplicate_points_are_left_out_and_a_typo_is_an_error(workshop: Workshop) -> None:
    ended = workshop("run", "spec.yaml", "--set", "program.env.MATRIX_LR=0.2,true,0.20,'0.2'", "--dry-run", "--json")
    assert ended.code == 0, ended.err
    err = " ".join(ended.err.split())
    assert [plan["name"] for plan in ended.json["plans"]] == ["toy MATRIX_LR=0.2"]
    assert "left out: MATRIX_LR=True" in err
    ended = workshop("run", "spec.yaml", "--set", "program.env.MATRIX_RL=0.2,0.3", "--dry-run")
    assert (ended.code, "did you mean `MATRIX_LR`" in ended.err) == (2, True)


@pytest.mark.slow
def test_a_refused_point_is_in_the_plan(workshop: Workshop) -> None:
    large = workshop.write_large_code()
    workshop.document["sweep"] = {
        "kind": "points",
        "points": [{"program.files": ["toy_learner.py", *large]}, {"program.env.MATRIX_LR": 0.2}],
    }
    plans = workshop("run", "spec.yaml", "--dry-run", "--json").json["plans"]
    assert [[found["rule"] for found in plan["refused"]] for plan in plans] == [[], ["artifact_size"]]
    assert "refused" in workshop("run", "spec.yaml", "--dry-run").out


@dataclass
class PricedPlan:
    """The parts of a plan on which its price depends."""

    usd: float | None
    cap: float | None
    starting: tuple[int, ...] = (1, 2)
    is_refused: bool = False

    @property
    def loaded(self) -> SimpleNamespace:
        return SimpleNamespace(spec=SimpleNamespace(spend=Spend(usd=self.cap)))


def plans_of(*costs: float | None, cap: float | None = 12.0) -> Any:
    return [PricedPlan(usd, cap) for usd in costs]


def test_the_cap_applies_to_the_sum_of_a_sweep() -> None:
    check_spending_cap(plans_of(4.0, 4.0, 3.9))
    check_spending_cap(plans_of(40.0, 4.0, cap=None))
    with pytest.raises(CheckFailed, match=r"6 runs would cost \$12\.10 together, but spend\.usd is \$12\.00"):
        check_spending_cap(plans_of(4.0, 4.0, 4.1))


def test_a_recipe_is_swept_with_the_same_option(workshop: Workshop) -> None:
    key = "recipe.quantizer.clip.k.default"
    spec = ("quickstart", "--with", "micro", "--set", f"{key}=11,12.85")
    plans = workshop("run", *spec, "--dry-run", "--json").json["plans"]
    assert [plan["point"] for plan in plans] == [{key: 11}, {key: 12.85}]
    assert plans[0]["total_bytes"]["estimate"] > plans[1]["total_bytes"]["estimate"] > 0
