"""Sweeps: the points, the spec of each point, and error messages with their places."""

import itertools
import json
import math
import random
from pathlib import Path

import pytest
from scipy import stats

from pgolf.errors import SpecError
from pgolf.specs.loading import load_spec, load_specs
from pgolf.specs.sweeps import Range, alternatives_of, label_of, points_of, read_sweep
from tests.pgolf.specs.builders import write

BASE = "spec_version: 1\nextends: quickstart\nname: swept\n"
LR, WIDTH = "recipe.optimizer.matrix_lr", "recipe.model.width"


def specs_of(folder: Path, sweep: object, *assignments: str) -> list[dict[str, object]]:
    """Return the points of a spec file with a sweep."""
    file = write(folder / "spec.yaml", BASE + f"sweep: {json.dumps(sweep)}\n")
    return [loaded.point for loaded in load_specs(str(file), [], assignments)]


def test_a_grid_is_every_combination_in_order(tmp_path: Path) -> None:
    rates, widths = [0.01, 0.02, 0.03], [64, 128]
    found = specs_of(tmp_path, {"kind": "grid", "values": {LR: rates, WIDTH: widths}})
    assert found == [{LR: rate, WIDTH: width} for rate, width in itertools.product(rates, widths)]


def test_each_spec_has_its_values_and_their_sources(tmp_path: Path) -> None:
    file = write(tmp_path / "spec.yaml", BASE + f"sweep:\n  kind: points\n  points: [{{{LR}: 0.01}}, {{{LR}: 0.5}}]\n")
    first, second = load_specs(str(file))
    assert [loaded.spec.recipe.optimizer.matrix_lr for loaded in (first, second)] == [0.01, 0.5]  # type: ignore[union-attr]
    assert first.sources[LR] == f"{file}:5"
    assert first.spec.name == second.spec.name == "swept"


def test_commas_separate_values_except_in_brackets_and_quotes() -> None:
    assert alternatives_of("recipe.b=11,12.85").arguments == ["recipe.b=11", "recipe.b=12.85"]
    assert alternatives_of("recipe.a={k: [1, 2]},{k: 3}").arguments == ["recipe.a={k: [1, 2]}", "recipe.a={k: 3}"]
    assert alternatives_of("recipe.a=[1, 2]").arguments == ["recipe.a=[1, 2]"]
    assert alternatives_of("recipe.a='1,2'").arguments == ["recipe.a='1,2'"]
    assert alternatives_of("question=one, or two?").arguments == ["question=one, or two?"]


def test_assignments_multiply_a_sweep_and_a_single_value_ends_it(tmp_path: Path) -> None:
    sweep = {"kind": "grid", "values": {LR: [0.01, 0.02]}}
    assert specs_of(tmp_path, sweep, f"{WIDTH}=64,128") == [
        {LR: rate, WIDTH: width} for rate, width in itertools.product([0.01, 0.02], [64, 128])
    ]
    assert specs_of(tmp_path, sweep, f"{LR}=0.3") == [{}]
    assert specs_of(tmp_path, sweep, f"{LR}=0.3,0.4,0.3") == [{LR: 0.3}, {LR: 0.4}]


def test_random_points_are_the_same_each_time_and_in_their_ranges() -> None:
    sweep = {
        "kind": "random",
        "runs": 400,
        "seed": 3,
        "values": {
            "a": {"low": 1e-4, "high": 1e-1, "log": True},
            "b": {"low": 2, "high": 5, "whole": True},
            "c": ["x"],
        },
    }
    found = read_sweep(sweep, "here")
    assert found == read_sweep(sweep, "here")
    assert found != read_sweep(sweep | {"seed": 4}, "here")
    exponents = [math.log10(point["a"]) for point in found]
    assert stats.kstest(exponents, "uniform", (-4, 3)).pvalue > 0.001
    assert {point["b"] for point in found} == {2, 3, 4, 5}


def test_a_plain_range_is_uniform() -> None:
    chance = random.Random(1)
    drawn = [Range(low=3, high=7).draw(chance) for _ in range(500)]
    assert stats.kstest(drawn, "uniform", (3, 4)).pvalue > 0.001


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"kind": "grid", "values": {}}, "sweep.values"),
        ({"kind": "grid", "values": {LR: []}}, LR),
        ({"kind": "grit", "values": {LR: [1]}}, "sweep"),
        ({"kind": "random", "runs": 2, "values": {LR: {"low": 2, "high": 1}}}, "low 2 is not below high 1"),
        ({"kind": "random", "runs": 2, "values": {LR: {"low": 0, "high": 1, "log": True}}}, "log: low 0"),
        ({"kind": "grid", "values": {"a": list(range(40)), "b": list(range(40))}}, "more than 1,000 points"),
    ],
)
def test_an_invalid_sweep_is_refused(sweep: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="sweep") as caught:
        specs_of(tmp_path, sweep)
    assert words in str(caught.value)


def test_a_misspelled_key_of_a_point_is_refused_at_the_sweep(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"spec\.yaml:4: recipe\.optimizer\.matrix_rl .* did you mean `matrix_lr`"):
        specs_of(tmp_path, {"kind": "grid", "values": {"recipe.optimizer.matrix_rl": [1]}})


def test_loading_a_single_spec_refuses_a_sweep(tmp_path: Path) -> None:
    file = write(tmp_path / "spec.yaml", BASE + f"sweep: {{kind: points, points: [{{{LR}: 0.1}}, {{{LR}: 0.2}}]}}\n")
    with pytest.raises(SpecError, match="a sweep over 2 points; this command takes a single spec"):
        load_spec(str(file))


def test_labels_are_short_and_tell_keys_apart() -> None:
    assert label_of({LR: 0.02, "recipe.averaging": {"kind": "ema", "decay": 0.9}}) == "matrix_lr=0.02 averaging=ema"
    assert label_of({"recipe.quantizer.clip.k.default": 11}) == "clip.k.default=11"
    assert label_of({"recipe.a.k": 1, "recipe.b.k": 2.50}) == "a.k=1 b.k=2.5"


def test_points_are_not_repeated() -> None:
    sweep = read_sweep({"kind": "points", "points": [{"a": 1}, {"a": 2}, {"a": 1}]}, "here")
    assert sweep == [{"a": 1}, {"a": 2}]
    assert points_of.__doc__
