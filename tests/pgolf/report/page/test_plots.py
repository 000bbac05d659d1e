"""Plots: which elements are drawn, and where."""

import json
import re
from math import log10
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.report.groups import group_runs
from pgolf.report.page.plots import (
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    curves,
    mean_curve,
    scatter,
    waterfall,
)
from pgolf.report.page.svg import TICKS, format_tick, round_step, scale_of
from pgolf.report.page.sweeps import sweep_pictures
from pgolf.report.stages import common_stages
from tests.pgolf.report.builders import result_of, write_run, write_seeds
from tests.pgolf.report.page.test_document import write_metrics


@given(st.floats(1e-9, 1e12), st.floats(0, 1e12))
def test_a_scale_has_round_ends_around_its_values(width: float, low: float) -> None:
    scale = scale_of([low, low + width], 0, 100)
    assert scale.low <= low * (1 + 1e-8)
    assert scale.high >= (low + width) * (1 - 1e-8)
    assert 2 <= len(scale.ticks()) <= 2 * TICKS


@given(st.floats(1e-9, 1e9))
def test_a_round_step_is_1_2_or_5(step: float) -> None:
    found = round_step(step)
    assert step * (1 - 1e-6) <= found <= 2.5 * step * (1 + 1e-6)
    mantissa = found / 10 ** round(log10(found) - 0.35)
    assert any(abs(mantissa / each - 1) < 1e-6 for each in (0.5, 1, 2, 5, 10))


@pytest.mark.parametrize(
    ("value", "step", "words"),
    [
        (1.05, 0.05, "1.05"),
        (1.1, 0.1, "1.1"),
        (16e6, 5e5, "16M"),
        (41_200, 200, "41.2k"),
        (0, 1000, "0"),
        (300, 100, "300"),
    ],
)
def test_ticks_are_formatted_briefly(value: float, step: float, words: str) -> None:
    assert format_tick(value, step) == words


def test_curves_run_through_their_points(tmp_path: Path) -> None:
    (run,) = write_seeds(tmp_path, {1: 1.21})
    write_metrics(run, [(0, 8.0), (500, 5.0), (1000, 4.0)])
    picture = curves(group_runs([run])[0])
    assert picture is not None
    (points,) = re.findall(r"points='([^']*)'", picture)
    found = [tuple(map(float, point.split(","))) for point in points.split()]
    xs, ys = zip(*found, strict=True)
    assert xs == (LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT)
    assert ys[0] == TOP
    assert TOP < ys[1] < ys[2] <= HEIGHT


def test_the_mean_curve_uses_shared_steps(tmp_path: Path) -> None:
    assert mean_curve([[(0, 4.0), (10, 2.0), (20, 1.0)], [(0, 6.0), (10, 4.0)]]) == [(0, 5.0), (10, 3.0)]


def test_the_mean_of_curves_with_different_steps_is_interpolated() -> None:
    found = mean_curve([[(0, 4.0), (10, 2.0)], [(5, 3.0), (15, 1.0)]])
    assert found[0] == (5.0, 3.0)
    assert found[-1] == (10.0, 2.0)


def test_curves_that_do_not_overlap_have_no_mean() -> None:
    assert mean_curve([[(0, 4.0), (1, 2.0)], [(5, 3.0), (6, 1.0)]]) == []


def test_the_waterfall_shows_means_and_changes_of_shared_stages(tmp_path: Path) -> None:
    runs = []
    for seed, shift in ((1, 0.0), (2, 0.02)):
        result = result_of(seed, 1.1)
        result["metrics"] = [
            {"stage": "prequant", "protocol": "sliding", "val_bpb": 1.10 + shift},
            {"stage": "roundtrip", "protocol": "sliding", "val_bpb": 1.12 + shift},
            {"stage": "reference", "protocol": "sliding", "val_bpb": 9.0},
        ]
        if seed == 1:
            result["metrics"].append({"stage": "ttt", "protocol": "sliding", "val_bpb": 1.05})
        runs.append(write_run(tmp_path / "exp-aaaaaaaa" / f"seed-{seed}", result))
    (group,) = group_runs(runs)
    stages = common_stages(group.rows)
    assert [name for name, _ in stages] == ["prequant sliding", "roundtrip sliding"]
    assert [bpb for _, bpb in stages] == pytest.approx([1.11, 1.13])
    picture = waterfall(group)
    assert picture is not None
    assert "+0.0200" in picture
    assert "worse" in picture


def test_one_stage_gives_no_waterfall(tmp_path: Path) -> None:
    (group,) = group_runs(write_seeds(tmp_path, {1: 1.2}))
    assert waterfall(group) is None


def test_the_scatter_has_one_point_per_seed_and_the_limit(tmp_path: Path) -> None:
    groups = group_runs(write_seeds(tmp_path, {1: 1.21, 2: 1.26}))
    picture = scatter(groups)
    assert picture is not None
    assert picture.count("<circle") == 2
    assert "exp seed 1: 1.210000 bpb, 15,050,001 bytes" in picture
    assert "class='limit'" in picture


def test_a_sweep_is_drawn_from_the_smallest_value_to_the_largest(tmp_path: Path) -> None:
    """Sorted as text, 100 would stand before 9."""
    runs = []
    for width in (100, 9, 20):
        root = tmp_path / f"exp-{width:08}" / "seed-1"
        runs.append(write_run(root, result_of(1, 1 + width / 1000, spec_sha256=f"{width}")))
        runs[-1].files.spec.write_text(json.dumps({"recipe": {"model": {"width": width}}}))
    ((key, picture, names),) = sweep_pictures(group_runs(runs))
    assert (key, names) == ("recipe.model.width", ["exp"])
    labels = re.findall(r">(9|20|100)</text>", picture)
    assert labels == ["9", "20", "100"]
    (points,) = re.findall(r"points='([^']*)'", picture)
    xs, ys = zip(*(map(float, point.split(",")) for point in points.split()), strict=True)
    third = (WIDTH - LEFT - RIGHT) / 3
    assert xs == pytest.approx([LEFT + third * (number + 0.5) for number in range(3)], abs=0.1)
    assert (ys[1] - ys[0]) / (ys[2] - ys[0]) == pytest.approx(11 / 91, abs=0.01)
