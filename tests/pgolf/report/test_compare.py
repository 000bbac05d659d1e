"""Comparison of two groups; curves against a plain loop."""

import json
from pathlib import Path

import numpy as np
import pytest

from pgolf.report.compare import compare_groups
from pgolf.report.curves import compare_curves, mean_near
from pgolf.report.groups import RunGroup, group_runs
from pgolf.rundir import RunDirectory
from tests.conftest import run_pgolf
from tests.pgolf.report.builders import result_of, write_run, write_seeds


def group_of(folder: Path, scores: dict[int, float], **changes: object) -> RunGroup:
    (group,) = group_runs(write_seeds(folder, scores, **changes))
    return group


def test_per_thousandth_divides_costs_by_the_advantage(tmp_path: Path) -> None:
    """The second is 0.004 bpb better and takes 8,000 bytes and 20 s more: 2,000 bytes and 5 s per 0.001 bpb."""
    artifact = {"model_bytes": 1000, "code_bytes": 0, "total_bytes": 1000, "limit_bytes": 16_000_000}
    cheap = group_of(
        tmp_path / "a", {1: 1.1, 2: 1.2}, artifact=artifact, clock={"train_seconds": 100.0, "evaluate_seconds": 9.0}
    )
    dear = group_of(
        tmp_path / "b",
        {1: 1.096, 2: 1.196},
        artifact=artifact | {"total_bytes": 9000},
        clock={"train_seconds": 120.0, "evaluate_seconds": 9.0},
    )
    there, back = compare_groups(cheap, dear)["per_thousandth"], compare_groups(dear, cheap)["per_thousandth"]
    assert (there["total_bytes"], there["train_seconds"]) == pytest.approx((2000.0, 5.0))
    assert back == pytest.approx(there, nan_ok=True), "the order of the groups does not matter"
    assert compare_groups(cheap, cheap)["per_thousandth"]["total_bytes"] is None


def write_metrics(run: RunDirectory, rows: list[dict[str, float]]) -> None:
    run.files.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_curves_average_the_points_near_each_place(tmp_path: Path) -> None:
    chance, groups = np.random.default_rng(5), []
    for name, pace in (("a", 2.0), ("b", 3.0)):
        runs = write_seeds(tmp_path / name, {1: 1.1, 2: 1.2})
        for run in runs:
            losses = 2 + chance.random(100)
            write_metrics(
                run,
                [
                    {"step": step, "tokens": 10 * step, "elapsed_seconds": pace * step, "train_loss": loss}
                    for step, loss in enumerate(losses, start=1)
                ],
            )
        groups.extend(group_runs(runs))
    by_axis = {each.axis: each for each in compare_curves(groups[0], groups[1])}
    assert [*by_axis] == ["steps", "tokens", "seconds"]
    assert by_axis["seconds"].at[-1] == 200.0, "the end of the shorter curve"
    for number, place in enumerate(by_axis["steps"].at):
        near_by = [
            np.mean([row["train_loss"] for row in row_of.run.read_metrics() if abs(row["step"] - place) <= 0.03 * 99])
            for row_of in groups[1].rows
        ]
        assert by_axis["steps"].second[number] == pytest.approx(np.mean(near_by))
    assert by_axis["tokens"].first == pytest.approx(by_axis["steps"].first)


def test_curves_interpolate_between_sparse_points() -> None:
    assert mean_near([(0.0, 4.0), (100.0, 2.0)], 25.0, 3.0) == pytest.approx(3.5)


def test_compare_prints_differing_keys_and_lists_groups_on_errors(tmp_path: Path) -> None:
    for name, rate, bpb in (("one", 0.1, 1.10), ("two", 0.2, 1.09)):
        for seed in (1, 2, 3):
            root = tmp_path / "runs" / f"{name}-aaaaaaaa" / f"seed-{seed}"
            changes = {"name": name, "spec_sha256": name * 20, "metrics": []}
            write_run(root, result_of(seed, bpb + seed / 1000, **changes), name=name, spec_sha256=name * 20)
            (root / "spec.json").write_text(json.dumps({"recipe": {"optimizer": {"lr": rate, "decay": 0.1}}}))
    ended = run_pgolf(tmp_path, "compare", "one", "two")
    assert ended.code == 0, ended.err
    assert "two against one: 0.010000 bpb better, 95 % -0.010000 to -0.010000, paired over 3 seeds" in ended.out
    assert "recipe.optimizer.lr" in ended.out
    assert "decay" not in ended.out
    facts = run_pgolf(tmp_path, "compare", "one-aaaaaaaa", str(tmp_path / "runs" / "two-aaaaaaaa"), "--json").json
    assert facts["keys"]["recipe.optimizer.lr"] == [0.1, 0.2]
    assert run_pgolf(tmp_path, "compare", "one", "one").code == 2
    several = run_pgolf(tmp_path, "compare", "runs", "one")
    assert "runs holds 2 groups; name one of 'one', 'two'" in " ".join(several.err.split())
    ended = run_pgolf(tmp_path, "compare", "one", "three")
    assert ended.code == 2
    assert "three: no finished run matches; name one of 'one', 'two'" in " ".join(ended.err.split())
