"""Runs that are one run, and those that only look so."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pgolf.alike import RunNumbers, alike_findings, are_independent, decimals_of
from pgolf.report.groups import group_runs, runs_below
from pgolf.statistics import summarise
from tests.pgolf.report.builders import result_of, script_result_of, write_metrics, write_run

LOSSES = {100 * step: 4 - step / 7 for step in range(8)}
RUN = RunNumbers(
    name="seed-1", val_bpb=1.07578747, decimals=8, total_bytes=15_987_382, train_seconds=588.032, losses=LOSSES
)
COARSE = RunNumbers(name="seed-1", val_bpb=1.0758, decimals=4, total_bytes=16_000_000, train_seconds=588.0)


def rules_of(*runs: RunNumbers) -> list[tuple[str, str]]:
    return [(finding.severity, finding.rule) for finding in alike_findings(runs)]


ALIKE = [("fail", "seeds_alike")]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train_seconds": 588.911},
        {"total_bytes": None, "train_seconds": None, "losses": None},
        {"losses": LOSSES | {300: 1.5}},
        {"val_bpb": 1.0757875, "decimals": 7},
    ],
    ids=["copied", "repeated on another clock", "nothing but scores", "other losses printed", "a digit cut"],
)
def test_equal_scores_to_all_digits_are_one_run(changes: dict[str, object]) -> None:
    assert rules_of(RUN, replace(RUN, name="seed-2", **changes)) == ALIKE  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{"val_bpb": 1.07578748}, {"val_bpb": 1.0757, "decimals": 4}],
    ids=["the last digit differs", "another score, coarsely printed"],
)
def test_other_scores_are_other_runs(changes: dict[str, object]) -> None:
    """Also if all else is equal that a stub prints: bytes of models that are not compressed, one loss for all steps."""
    stub = replace(RUN, losses=dict.fromkeys(LOSSES, 4.6052), train_seconds=None)
    assert rules_of(stub, replace(stub, name="seed-2", **changes)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("val_bpb", [1.07578748, 1.07578741, 1.0758, 1.0763, 2.0])
@pytest.mark.parametrize("seeds", [(1, 2), (None, None), (1, None)])
def test_one_training_is_one_run_whatever_its_scores_say(val_bpb: float, seeds: tuple[int | None, int | None]) -> None:
    copy = replace(RUN, name="seed-2", val_bpb=val_bpb, seed=seeds[1])
    (finding,) = alike_findings([replace(RUN, seed=seeds[0]), copy])
    assert (finding.severity, finding.rule) == ALIKE[0]
    assert "equal in their training losses, 15,987,382 bytes, 588.032 s of training:" in finding.message


def test_one_seed_may_be_scored_by_two_protocols() -> None:
    """Another protocol moves the score by more than 1e-5; a copy on other hardware, or edited, by less."""
    seeded = replace(RUN, seed=1)
    assert rules_of(seeded, replace(seeded, name="sliding", val_bpb=1.0601)) == []
    assert rules_of(seeded, replace(seeded, name="again", val_bpb=1.07578748)) == ALIKE


def test_coarse_scores_need_equal_losses_and_times_besides() -> None:
    """Two honest seeds in ten print the same four decimals; an uncompressed model always has the same bytes."""
    assert rules_of(COARSE, replace(COARSE, name="seed-2")) == [("warn", "scores_equal")]
    curve = {step: round(loss, 4) for step, loss in LOSSES.items()}
    full = replace(COARSE, losses=curve)
    assert rules_of(full, replace(full, name="seed-2")) == ALIKE
    assert rules_of(full, replace(full, name="seed-2", losses=curve | {700: 2.9001})) == [("warn", "scores_equal")]
    untrained = replace(COARSE, losses={0: 6.9314718, 100: 3.1})  # ln 1024 before the first step, for every seed
    assert rules_of(untrained, replace(untrained, name="seed-2")) == [("warn", "scores_equal")]


def test_one_copy_among_honest_seeds_is_enough() -> None:
    honest = [replace(RUN, name=f"seed-{n}", val_bpb=1.07 + n / 3000, losses=None) for n in range(3)]
    copy = replace(honest[0], name="seed-9")
    assert are_independent(honest)
    assert not are_independent([*honest, copy])
    assert "seed-0 and seed-9 are one run" in alike_findings([*honest, copy])[0].message


def test_independent_runs_of_normal_scores_are_not_accused() -> None:
    """100 groups of three seeds whose scores spread as those of accepted records, printed with 4 to 8 decimals."""
    chance, accused = random.Random(5), 0
    for trial in range(100):
        decimals = 4 + trial % 5
        runs = [
            RunNumbers(
                name=str(seed),
                val_bpb=round(chance.gauss(1.08, 5e-4), decimals),
                decimals=decimals,
                total_bytes=15_990_000,
                train_seconds=round(chance.uniform(588.0, 588.1), 3),
                losses={step: round(chance.gauss(3.0, 0.01), 4) for step in range(0, 5000, 500)},
            )
            for seed in range(3)
        ]
        accused += ("fail", "seeds_alike") in rules_of(*runs)
    assert accused == 0


@pytest.mark.parametrize(("number", "decimals"), [(1.0, 1), (1.25, 2), (2.5e-07, 8), (1e-05, 5), (3e20, 0)])
def test_decimals_are_those_of_the_shortest_text(number: float, decimals: int) -> None:
    assert decimals_of(number) == decimals


def test_dependent_values_have_a_mean_only() -> None:
    found = summarise([1.0, 2.0, 3.0], are_independent=False)
    assert (found.n, found.mean, found.std, found.ci95, found.population_std) == (3, 2.0, None, None, None)


def test_a_run_folder_that_was_copied_for_another_seed_is_no_second_seed(tmp_path: Path) -> None:
    first = write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result_of(1, 1.0757874712345))
    write_metrics(first, [(step, 4.123456 - step / 700) for step in range(0, 700, 100)])
    shutil.copytree(first.root, second := first.root.with_name("seed-2"))
    write_run(tmp_path / "exp-aaaaaaaa" / "seed-3", result_of(3, 1.0761234567))
    (group,) = group_runs(runs_below([tmp_path]))
    assert [row.seed for row in group.rows] == [1, 2, 3]
    (finding,) = [f for f in group.problems() if f.rule == "seeds_alike"]
    assert (finding.severity, "script" in finding.message) == ("fail", False)
    assert f"exp-aaaaaaaa/seed-1 and exp-aaaaaaaa/{second.name} are one run" in finding.message
    assert (group.as_json()["std"], group.as_json()["ci95"]) == (None, None)


def test_a_script_that_ignores_its_seed_is_told_so(tmp_path: Path) -> None:
    """The same losses and score, each at its own speed."""
    for seed in (1, 2):
        result = script_result_of(seed, 1.0757, logged_seed=None)
        result["artifact"] |= {"total_bytes": 15_000_000, "basis": "log", "files": {}}
        run = write_run(tmp_path / "exp-aaaaaaaa" / f"seed-{seed}", result)
        write_metrics(run, [(step, round(4 - step / 700, 4)) for step in range(0, 700, 100)])
    (group,) = group_runs(runs_below([tmp_path]))
    (message,) = [f.message for f in group.problems() if f.rule == "seeds_alike"]
    assert message.endswith("the script probably ignores the seed that it is given")
