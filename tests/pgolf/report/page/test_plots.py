"""Plots: which data they draw, on which scales, and what they leave out."""

import json
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.report.groups import RunGroup, group_runs
from pgolf.report.page.bars import bytes_plot, stages_plot
from pgolf.report.page.charts import Plot, fences, frame, key_of, shortened
from pgolf.report.page.learning import MOST_POINTS, curves_plot, mean_curve, thinned
from pgolf.report.page.scores import scores_plot
from pgolf.report.page.size import size_plot
from pgolf.report.page.sweeps import scale_kind, sweep_plots
from pgolf.report.stages import common_stages
from tests.pgolf.report.builders import result_of, write_metrics, write_run, write_seeds, write_sweep


def layer_of(plot: Plot | None, field: str) -> list[dict[str, Any]]:
    """Return the data of the first layer whose rows have a field."""
    assert plot is not None
    data = [layer["data"]["values"] for layer in plot.spec["layer"] if "data" in layer]
    return next((rows for rows in data if rows and field in rows[0]), [])


def domain_of(plot: Plot | None, channel: str) -> list[float]:
    assert plot is not None
    channels = [layer["encoding"].get(channel, {}) for layer in plot.spec["layer"]]
    return next(found["scale"]["domain"] for found in channels if "scale" in found)


def group_of(runs: list[Any]) -> RunGroup:
    (group,) = group_runs(runs)
    return group


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1), st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 1e9)), max_size=3)
)
def test_a_frame_holds_its_values_and_no_interval_dwarfs_them(
    values: list[float], starts: list[tuple[float, float]]
) -> None:
    intervals = [(low, low + width) for low, width in starts]
    low, high = frame(values, intervals)
    assert low <= min(values) <= max(values) <= high
    assert low < high
    room = (max(values) - min(values)) or abs(max(values)) * 0.01 or 1e-6
    assert high - low <= 6 * room * (1 + 1e-6)


def test_a_frame_holds_intervals_that_are_not_much_wider_than_the_values() -> None:
    low, high = frame([1.0, 2.0], [(0.5, 2.5)])
    assert (low, high) == pytest.approx((0.42, 2.58))
    low, high = frame([1.0, 2.0], [(-9.0, 12.0)])
    assert low > -9
    assert high < 12


@given(st.lists(st.integers(-1000, 1000), min_size=8))
def test_fences_are_ten_times_the_distance_of_the_quartiles_away(values: list[int]) -> None:
    first, third = np.percentile(values, [25, 75])
    expected = (first - 10 * (third - first), third + 10 * (third - first)) if first < third else (-inf, inf)
    assert fences(values) == pytest.approx(expected)


def test_few_values_have_no_fences() -> None:
    assert fences([1, 1.1, 1.2, 1.3, 1.4, 1.5, 1000]) == (-inf, inf)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("short", "short"),
        ("a" * 12, "a" * 12),
        ("experiment-lr=0.01", "exper\u2026r=0.01"),
        ("experiment-lr=0.02", "exper\u2026r=0.02"),
    ],
)
def test_long_names_lose_their_middle(name: str, short: str) -> None:
    assert shortened(name, 12) == short


def test_the_first_forty_eight_groups_look_different() -> None:
    assert len({tuple(key_of(number, "").look.values()) for number in range(48)}) == 48


def test_scores_have_the_seeds_the_mean_and_its_interval(tmp_path: Path) -> None:
    group = group_of(write_seeds(tmp_path, {1: 1.21, 2: 1.26, 3: 1.22}))
    plot = scores_plot([group])
    assert {mark["seed"]: mark["bpb"] for mark in layer_of(plot, "bpb")} == {
        "seed 1": 1.21,
        "seed 2": 1.26,
        "seed 3": 1.22,
    }
    assert [mark["mean"] for mark in layer_of(plot, "mean")] == pytest.approx([1.23])
    # As in the table: by hand with t of 2 degrees 4.302653.
    (interval,) = layer_of(plot, "low")
    assert (interval["low"], interval["high"]) == pytest.approx((1.164276, 1.295724), abs=1e-6)
    low, high = domain_of(plot, "x")
    assert low < 1.164276 < 1.295724 < high


def test_one_seed_has_no_plot_of_scores_and_no_interval(tmp_path: Path) -> None:
    group = group_of(write_seeds(tmp_path, {1: 1.21}))
    assert scores_plot([group]) is None
    assert layer_of(size_plot([group]), "low") == []
    assert len(layer_of(size_plot([group]), "bpb")) == 1


def test_the_size_plot_has_a_seed_of_known_size_each_and_the_limit(tmp_path: Path) -> None:
    runs = write_seeds(tmp_path, {1: 1.21, 2: 1.26})
    unsized = result_of(1, 1.3, name="unsized", spec_sha256="b" * 64)
    unsized["artifact"]["total_bytes"] = None
    runs.append(write_run(tmp_path / "unsized-bbbbbbbb" / "seed-1", unsized))
    plot = size_plot(group_runs(runs))
    points = [(mark["bytes"], mark["bpb"]) for mark in layer_of(plot, "bpb")]
    assert points == [(15_050_001, 1.21), (15_050_002, 1.26)]
    assert [mark["bytes"] for mark in layer_of(plot, "label")] == [16_000_000]
    assert plot is not None
    assert [key.name for key in plot.legend] == ["exp"]
    low, high = domain_of(plot, "x")
    assert low < 15_050_001 < 16_000_000 < high


def test_a_limit_far_away_is_a_sentence_and_not_a_line(tmp_path: Path) -> None:
    small = result_of(1, 1.21)
    small["artifact"]["total_bytes"] = 3_900_000
    plot = size_plot(group_runs([write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", small)]))
    assert plot is not None
    assert layer_of(plot, "label") == []
    assert "The limit of 16,000,000 bytes is far to the right." in plot.caption


def test_seeds_far_from_the_others_are_named_and_do_not_squeeze_them(tmp_path: Path) -> None:
    runs = write_seeds(tmp_path, {seed: 1.1 + seed / 1000 for seed in range(9)})
    runs.append(write_run(tmp_path / "far-bbbbbbbb" / "seed-1", result_of(1, 4.9, name="far", spec_sha256="b" * 64)))
    groups = group_runs(runs)
    plot = size_plot(groups)
    assert plot is not None
    assert {mark["name"] for mark in layer_of(plot, "bpb")} == {"exp"}
    assert [key.name for key in plot.legend] == ["exp"]
    assert plot.caption.endswith("far from the others: far.")
    plot = scores_plot(groups)
    assert domain_of(plot, "x")[1] < 1.2
    assert [row["value"][-1] for row in layer_of(plot, "short")] == ["7", "\u25b8"]


def test_curves_run_through_their_points(tmp_path: Path) -> None:
    runs = write_seeds(tmp_path, {1: 1.21, 2: 1.22})
    write_metrics(runs[0], [(0, 8.0), (500, 5.0), (1000, 4.0)])
    write_metrics(runs[1], [(0, 6.0), (500, 5.5)])
    plot = curves_plot(group_of(runs))
    assert plot is not None
    lines = {line["name"]: list(zip(line["at"], line["loss"], strict=True)) for line in plot.spec["data"]["values"]}
    assert lines == {
        "seed 1": [(0, 8.0), (500, 5.0), (1000, 4.0)],
        "seed 2": [(0, 6.0), (500, 5.5)],
        "mean": [(0, 7.0), (500, 5.25)],
    }
    assert [key.name for key in plot.legend] == list(lines)
    assert domain_of(plot, "x") == [0, 1000]


def test_long_curves_are_thinned_and_keep_both_ends() -> None:
    curve = [(float(step), 1.0 / (step + 1)) for step in range(20_001)]
    found = thinned(curve)
    assert MOST_POINTS / 2 < len(found) <= MOST_POINTS + 1
    assert set(found) <= set(curve)
    assert (found[0], found[-1]) == (curve[0], curve[-1])
    assert thinned(curve[:MOST_POINTS]) == curve[:MOST_POINTS]


def test_the_mean_curve_uses_shared_steps() -> None:
    assert mean_curve([[(0, 4.0), (10, 2.0), (20, 1.0)], [(0, 6.0), (10, 4.0)]]) == [(0, 5.0), (10, 3.0)]


def test_the_mean_of_curves_with_different_steps_is_interpolated() -> None:
    found = mean_curve([[(0, 4.0), (10, 2.0)], [(5, 3.0), (15, 1.0)]])
    assert found[0] == (5.0, 3.0)
    assert found[-1] == (10.0, 2.0)


def test_curves_that_do_not_overlap_have_no_mean() -> None:
    assert mean_curve([[(0, 4.0), (1, 2.0)], [(5, 3.0), (6, 1.0)]]) == []


def test_stages_are_means_and_changes_of_shared_stages(tmp_path: Path) -> None:
    runs = []
    for seed, shift in ((1, 0.0), (2, 0.02)):
        metrics = [
            {"stage": "prequant", "protocol": "sliding", "val_bpb": 1.10 + shift, "val_loss": 2.2},
            {"stage": "roundtrip", "protocol": "sliding", "val_bpb": 1.12 + shift, "val_loss": 2.2},
            {"stage": "reference", "protocol": "sliding", "val_bpb": 9.0, "val_loss": 9.0},
        ]
        if seed == 1:
            metrics.append({"stage": "ttt", "protocol": "sliding", "val_bpb": 1.05, "val_loss": 2.1})
        runs.append(write_run(tmp_path / "exp-aaaaaaaa" / f"seed-{seed}", result_of(seed, 1.1, metrics=metrics)))
    group = group_of(runs)
    stages = common_stages(group.rows)
    assert [name for name, _ in stages] == ["prequant sliding", "roundtrip sliding"]
    assert [bpb for _, bpb in stages] == pytest.approx([1.11, 1.13])
    plot = stages_plot(group)
    (change,) = layer_of(plot, "before")
    assert (change["before"], change["bpb"]) == pytest.approx((1.11, 1.13))
    assert (change["change"], change["colour"]) == ("+0.020000", "var(--worse)")
    assert [row["value"] for row in layer_of(plot, "short")] == ["1.1100", "1.1300 (+0.0200)"]


def test_one_stage_has_no_plot(tmp_path: Path) -> None:
    assert stages_plot(group_of(write_seeds(tmp_path, {1: 1.2}))) is None


def test_parts_of_an_artifact_stand_end_to_end(tmp_path: Path) -> None:
    (run,) = write_seeds(tmp_path, {1: 1.2})
    run.files.artifact.mkdir()
    run.files.bytes.write_text(json.dumps({"groups": {"embedding": 5_000_000, "mlp": 10_000_001}}))
    plot = bytes_plot(group_of([run]))
    assert [(mark["name"], mark["begin"], mark["end"]) for mark in layer_of(plot, "begin")] == [
        ("embedding", 0, 5_000_000), ("mlp", 5_000_000, 15_000_001), ("code", 15_000_001, 15_050_001),
    ]  # fmt: skip
    assert sum(mark["share"] for mark in layer_of(plot, "begin")) == pytest.approx(1)
    assert domain_of(plot, "x") == [0, 16_000_000]
    assert plot is not None
    assert (
        plot.caption
        == "Tensor groups share compressed streams in proportion to their entropy. The dashed line is the limit."
    )
    run.files.bytes.unlink()
    plot = bytes_plot(group_of([run]))
    assert [mark["name"] for mark in layer_of(plot, "begin")] == ["model", "code"]
    assert plot is not None
    assert plot.caption == "The dashed line is the limit."


def test_bytes_of_a_real_run_are_its_tensor_groups(micro_run: Any) -> None:
    group = group_of([micro_run])
    parts = group.rows[0].byte_parts()
    assert sum(parts.values()) == group.rows[0].total_bytes
    assert {"embedding", "attention", "mlp", "code", "header"} <= set(parts)
    assert {mark["name"]: mark["bytes"] for mark in layer_of(bytes_plot(group), "begin")} == parts


def test_a_sweep_is_drawn_from_the_smallest_value_to_the_largest(tmp_path: Path) -> None:
    """Sorted as text, 100 would stand before 9."""
    (plot,) = sweep_plots(group_runs(write_sweep(tmp_path, "recipe.model.width", [100, 9, 20])))
    assert plot.title == "Swept: recipe.model.width"
    assert [(mark["at"], mark["bpb"]) for mark in layer_of(plot, "seed")] == [(9, 1.201), (20, 1.202), (100, 1.2)]
    assert [mark["at"] for mark in layer_of(plot, "mean")] == [9, 20, 100]
    assert plot.spec["layer"][0]["encoding"]["x"]["axis"]["values"] == [9, 20, 100]


def test_a_sweep_of_words_is_evenly_spaced_in_its_own_order(tmp_path: Path) -> None:
    (plot,) = sweep_plots(group_runs(write_sweep(tmp_path, "recipe.model.activation", ["relu2", "gelu", True])))
    assert plot.spec["layer"][0]["encoding"]["x"]["scale"]["domain"] == ["True", "gelu", "relu2"]


@pytest.mark.parametrize(
    ("key", "values", "kind"),
    [
        ("recipe.optimizer.matrix_lr", [0.01, 0.02], "log"),
        ("program.env.MATRIX_LR", ["0.01", "0.02"], "log"),
        ("recipe.optimizer.weight_decay", [0.1, 0.2], "log"),
        ("recipe.optimizer.weight_decay", [0.0, 0.2], "point"),
        ("recipe.model.width", [384, 512], "linear"),
        ("recipe.model.width", [64, 512, 1024], "log"),
        ("recipe.model.layers", [0, 1, 2], "linear"),
        ("recipe.quantizer.bits", [0], "linear"),
        ("recipe.codec.kind", ["brotli", "6"], "point"),
        ("recipe.model.tied", [True, False], "point"),
        ("program.env.SEQ", ["nan", "1"], "point"),
        ("recipe.model.flavour", [None, 1], "point"),
    ],
)
def test_rates_and_wide_ranges_are_compared_by_ratio(key: str, values: list[Any], kind: str) -> None:
    assert scale_kind(key, values) == kind


def test_lines_of_a_sweep_stand_side_by_side(tmp_path: Path) -> None:
    runs = []
    for number, (rate, width) in enumerate([(0.01, 64), (0.02, 64), (0.01, 128), (0.02, 128)]):
        result = result_of(1, 1.2 + number / 100, spec_sha256=f"{number}" * 64)
        runs.append(write_run(tmp_path / f"exp-{number:08}" / "seed-1", result))
        runs[-1].files.spec.write_text(json.dumps({"recipe": {"lr": rate, "width": width}}))
    plots = list(sweep_plots(group_runs(runs)))
    assert [plot.title for plot in plots] == ["Swept: recipe.lr", "Swept: recipe.width"]
    assert [key.name for key in plots[0].legend] == ["exp width=64", "exp width=128"]
    seeds = layer_of(plots[0], "seed")
    assert {(mark["name"], mark["shift"]) for mark in seeds} == {("exp width=64", -3.5), ("exp width=128", 3.5)}
    assert all(isfinite(mark["at"]) for mark in seeds)
