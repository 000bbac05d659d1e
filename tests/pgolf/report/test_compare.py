"""Comparison of two groups; curves against a plain loop."""

import json
import os
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pgolf.cli.compare import shortened, signed
from pgolf.report.compare import compare_groups
from pgolf.report.curves import compare_curves, mean_near
from pgolf.report.groups import RunGroup, group_runs
from pgolf.report.reading import groups_at
from pgolf.report.rows import Group
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import RunDirectory
from tests.conftest import run_pgolf
from tests.pgolf.report.builders import result_of, write_run, write_seeds

LOSS_PER_BPB = 2.0


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
    by_axis = {each.axis: each for each in compare_curves(groups[0], groups[1], on_skip=pytest.fail)}
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
            changes = {"name": name, "spec_sha256": name * 20}
            write_run(root, result_of(seed, bpb + seed / 1000, **changes), name=name, spec_sha256=name * 20)
            (root / "spec.json").write_text(json.dumps({"recipe": {"optimizer": {"lr": rate, "decay": 0.1}}}))
    ended = run_pgolf(tmp_path, "compare", "one", "two")
    assert ended.code == 0, ended.err
    assert (
        "two against one, roundtrip sliding: -0.010000 bpb (better), 95 % -0.010000 to -0.010000, paired over 3 seeds"
        in ended.out
    )
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


def write_group(runs: Path, name: str, scores: dict[int, float], **changes: Any) -> None:
    """Write finished runs of an experiment whose loss is in proportion to its score."""
    for seed, bpb in scores.items():
        scored = {"stage": "roundtrip", "protocol": "sliding", "val_bpb": bpb, "val_loss": LOSS_PER_BPB * bpb}
        before = scored | {"stage": "prequant", "val_bpb": bpb - 0.01}
        facts = {"name": name, "spec_sha256": name * 8, "headline": scored, "metrics": [before, scored]} | changes
        write_run(
            runs / f"{name}-aaaaaaaa" / f"seed-{seed}", result_of(seed, bpb, **facts), name=name, spec_sha256=name * 8
        )


def artifact(total: int) -> dict[str, int]:
    return {"model_bytes": total - 50_000, "code_bytes": 50_000, "total_bytes": total, "limit_bytes": 16_000_000}


def compared(folder: Path, *words: str) -> str:
    """Return the output of `pgolf compare` in a terminal that is wide enough for every cell."""
    ended = run_pgolf(folder, "compare", *words, environment={**os.environ, "COLUMNS": "300"})
    assert ended.code == 0, ended.err
    return ended.out


def row_of(output: str, label: str) -> list[str]:
    """Return the cells of the only table row with a label."""
    (line,) = [line for line in output.splitlines() if line.startswith(label)]
    return line.removeprefix(label).split()


def test_difference_interval_and_costs_have_one_sign_and_follow_from_the_results(tmp_path: Path) -> None:
    """Every number by hand, in both directions; the interval is Welch's."""
    one, two = {1: 1.20, 2: 1.21, 3: 1.23}, {4: 1.10, 5: 1.12}
    write_group(tmp_path / "runs", "one", one, artifact=artifact(60_000))
    write_group(tmp_path / "runs", "two", two, artifact=artifact(60_104))
    difference = fmean(two.values()) - fmean(one.values())
    parts = [stdev(each.values()) ** 2 / len(each) for each in (one, two)]
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 1)
    half = float(stats.t.ppf(0.975, degrees)) * sum(parts) ** 0.5
    for words, sign, verdict in ((("one", "two"), 1, "better"), (("two", "one"), -1, "worse")):
        low, high = sorted((sign * difference - half, sign * difference + half))
        output = compared(tmp_path, *words)
        said = f"{sign * difference:+.6f} bpb ({verdict}), 95 % {low:+.6f} to {high:+.6f}, seeds not paired"
        assert output.splitlines()[0] == f"{words[1]} against {words[0]}, roundtrip sliding: {said}"
        assert row_of(output, "roundtrip sliding")[2:] == [
            f"{sign * difference:+.6f}", f"{low:+.6f}", "to", f"{high:+.6f}"
        ]  # fmt: skip
        cost = 104 * 0.001 / abs(difference)
        assert row_of(output, "total bytes")[2:] == [f"{sign * 104:+}", f"{cost:+.1f}"]
        assert "cost of 0.001 bpb: what two takes more than one, for each 0.001 bpb by which it is better" in output


def test_a_cost_is_named_only_where_one_group_is_clearly_better(tmp_path: Path) -> None:
    write_group(tmp_path / "runs", "one", {1: 1.20, 2: 1.10, 3: 1.15})
    write_group(tmp_path / "runs", "two", {1: 1.11, 2: 1.19, 3: 1.14}, artifact=artifact(60_104))
    write_group(tmp_path / "runs", "three", {7: 1.20, 8: 1.10, 9: 1.15})
    output = compared(tmp_path, "one", "two")
    assert "bpb (no clear difference: the interval contains zero), 95 % -" in output.splitlines()[0]
    assert "0.001 bpb by which" not in output
    assert len(row_of(output, "total bytes")) == 3
    facts = run_pgolf(tmp_path, "compare", "one", "two", "--json").json
    assert set(facts["per_thousandth"].values()) == {None}
    same = compared(tmp_path, "one", "three").splitlines()[0]
    assert same.startswith("three against one, roundtrip sliding: 0 bpb (no clear difference")


def test_no_row_is_repeated_and_the_first_line_names_the_stage(tmp_path: Path) -> None:
    write_group(tmp_path / "runs", "one", {1: 1.20, 2: 1.21})
    write_group(tmp_path / "runs", "two", {1: 1.10, 2: 1.12})
    output = compared(tmp_path, "one", "two")
    rows = [line.split() for line in output.splitlines()]
    assert "headline" not in output
    assert not any(row[-6:] == other[-6:] for number, row in enumerate(rows) for other in rows[:number])
    assert not [line for line in output.splitlines() if line.startswith("dollars")], "no price is known"


@pytest.mark.parametrize(
    ("number", "places", "text"),
    [
        (104, 0, "+104"), (0, 0, "0"), (0.38, 0, "+0.38"), (-0.0004, 1, "-0.00040"), (-7969.33, 0, "-7,969"),
        (1, 0, "+1"), (4e-7, 6, "+0.00000040"), (-0.096397, 6, "-0.096397"),
    ],
)  # fmt: skip
def test_a_difference_that_is_not_zero_is_not_shown_as_zero(number: float, places: int, text: str) -> None:
    assert signed(number, places) == text


def test_long_values_are_cut_so_that_their_difference_is_seen() -> None:
    """Two lists that agree in their first hundred characters."""
    long = "[" + ", ".join(map(str, range(60)))
    one, other = shortened([f"{long}, 7]", f"{long}, 8]"])
    assert one != other
    assert max(len(one), len(other)) <= 40
    assert shortened(["0.02", "0.03"]) == ["0.02", "0.03"]
    assert shortened(["x" * 41, "x"])[1] == "x"


def test_only_a_broken_limit_is_called_broken(tmp_path: Path) -> None:
    """A score without learning and an ignored seed are failures, but no limits."""
    score = {"stage": "roundtrip", "protocol": "sliding", "val_bpb": 1.2, "val_loss": 2.4}
    clock = {"train_seconds": 580.0, "evaluate_seconds": 90.0, "run_seconds": 700.0}
    own = {
        "source": "script",
        "logged_seed": 5,
        "headline": score | {"label": "final", "line": 9},
        "clock": clock,
        "hardware": {"devices": []},
    }
    artifacts = artifact(60_000) | {"basis": "files", "files": {"m": 10_000}, "logged_total_bytes": None}
    changes = {"artifact": artifacts, **own}
    write_group(tmp_path / "runs", "one", {1: 1.2, 2: 1.3}, **changes)
    write_group(tmp_path / "runs", "two", {1: 1.2, 2: 1.3}, artifact=artifact(16_000_001))
    output = compared(tmp_path, "one", "two")
    assert "caveat: 2 of the 2 runs of one fail a check: seed_ignored" in output
    assert "caveat: 2 of the 2 runs of two break a limit: over_cap" in output
    assert output.count("break a limit") == 1


def test_caveats_name_the_group_and_what_is_not_known(tmp_path: Path) -> None:
    cpu: dict[str, list[str]] = {"devices": []}
    gpu = {"devices": ["NVIDIA H100 80GB HBM3"] * 8}
    scored = {"stage": "prequant", "protocol": "chunked", "val_bpb": 1.2, "val_loss": 2.4}
    write_group(tmp_path / "runs", "one", {1: 1.2}, data_sha256=None, hardware=cpu)
    write_group(tmp_path / "runs", "two", {1: 1.3}, headline=scored, hardware=gpu)
    output = compared(tmp_path, "one", "two")
    assert "not be scored on the same text: no data hash is known of one" in output
    assert "stages differ: one roundtrip; two prequant" in output
    assert "protocols differ: one sliding; two chunked" in output
    assert "machines differ, so seconds do not compare: one 1 x cpu; two 8 x NVIDIA H100 80GB HBM3" in output


def test_an_absent_key_is_not_a_null_and_groups_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder, spec in (("a", {"softcap": None, "ratio": 3}), ("b", {"softcap": 30, "kind": "none", "ratio": 3})):
        write_group(tmp_path / folder, "one", {1: 1.2})
        (tmp_path / folder / "one-aaaaaaaa" / "seed-1" / "spec.json").write_text(json.dumps({"recipe": spec}))
    output = compared(tmp_path, "a", "b")
    assert row_of(output, "recipe.softcap") == ["null", "30"]
    assert row_of(output, "recipe.kind") == ["-", "none"]
    assert output.splitlines()[0].startswith("one (b) against one (a), roundtrip sliding: 0 bpb (equal;")
    facts = run_pgolf(tmp_path, "compare", "a", "b", "--json").json
    assert (facts["only_first"], facts["only_second"]) == ([], ["recipe.kind"])


def test_curves_of_other_tokenizers_or_with_wide_gaps_are_left_out(tmp_path: Path) -> None:
    """Losses logged at steps 5 and 500 say nothing about step 50."""
    reasons: list[str] = []
    dense = [{"step": step, "elapsed_seconds": step / 10, "train_loss": 5.0} for step in range(1, 101)]
    sparse = [{"step": step, "elapsed_seconds": step / 10, "train_loss": 5.0} for step in (1, 5, 500)]
    groups: list[Group] = []
    for name, rows, changes in (
        ("dense", dense, {}),
        ("sparse", sparse, {}),
        ("other", dense, {"headline": {"stage": "roundtrip", "protocol": "sliding", "val_bpb": 1.2, "val_loss": 3.1}}),
    ):
        write_group(tmp_path / name, name, {1: 1.2}, **changes)
        groups += group_runs([RunDirectory(tmp_path / name / f"{name}-aaaaaaaa" / "seed-1")])
        write_metrics(RunDirectory(tmp_path / name / f"{name}-aaaaaaaa" / "seed-1"), rows)
    groups = [group_runs([row.run for row in group.rows])[0] for group in groups if isinstance(group, RunGroup)]
    assert compare_curves(groups[0], groups[1], on_skip=reasons.append) == []
    assert "no curves at equal steps: the losses are logged too far apart" in reasons
    assert compare_curves(groups[0], groups[2], on_skip=reasons.append) == []
    assert "no curves at equal steps: the tokenizers differ, and train_loss is in nats per token" in reasons
    curves = compare_curves(groups[0], groups[0], on_skip=reasons.append)[0]
    assert curves.first == pytest.approx([5.0] * 8)


LOG = """\
world_size:8
model_params:26829913
step:100/100 val_loss:2.1 val_bpb:1.25 train_time:{milliseconds}ms step_avg:54ms
Total submission size int6+lzma: {size} bytes
final_int8_zlib_roundtrip_exact val_loss:2.02 val_bpb:{bpb:.8f}
"""


def test_runs_of_unknown_seed_are_neither_merged_nor_paired(tmp_path: Path) -> None:
    """Logs without a seed in text or name, whose mean is the claim."""
    scores = {"x": (1.21, 1.22), "y": (1.11, 1.14)}
    for name, (one, other) in scores.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "train_gpt.py").write_text("print(1)\n")
        (tmp_path / name / "submission.json").write_text(json.dumps({"val_bpb": fmean((one, other))}))
        (tmp_path / name / "first.log").write_text(LOG.format(milliseconds=599_000, size=15_000_000, bpb=one))
        (tmp_path / name / "second.log").write_text(LOG.format(milliseconds=598_000, size=15_000_001, bpb=other))
    first, second = (groups_at([tmp_path / name], load_ruleset("parameter_golf"))[0] for name in scores)
    facts = compare_groups(first, second)
    assert facts["seeds"]["first"] == [None, None]
    assert facts["val_bpb"]["difference"] == pytest.approx(fmean(scores["y"]) - fmean(scores["x"]))
    assert facts["val_bpb"]["pairs"] == 0
    assert facts["keys_note"] == "the settings of x and y are not known"
