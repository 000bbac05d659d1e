"""The order in which a base, a spec, overlays and assignments are merged."""

import os
from pathlib import Path

import pytest

from pgolf.errors import SpecError
from pgolf.specs.loading import load_spec
from pgolf.specs.merging import merge, parse_assignment
from pgolf.specs.yaml_documents import parse_yaml
from tests.pgolf.specs.builders import changed, write
from trainer.recipe.codec import Brotli, Zlib
from trainer.recipe.data import Shards
from trainer.recipe.optimizer import MuonAdamW
from trainer.recipe.quantizer import PercentileClip


def merged(below: str, above: str) -> object:
    return merge(parse_yaml(below, "below"), parse_yaml(above, "above")).plain()


@pytest.mark.parametrize(
    ("below", "above", "expected"),
    [
        ("{a: 1, b: 2}", "{b: 3, c: 4}", {"a": 1, "b": 3, "c": 4}),
        ("{a: {x: 1, y: 2}}", "{a: {y: 3}}", {"a": {"x": 1, "y": 3}}),
        ("{a: [1, 2, 3]}", "{a: [4]}", {"a": [4]}),
        ("{a: [1, 2]}", "{a: []}", {"a": []}),
        ("{a: 1}", "{a: null}", {"a": None}),
        ("{a: {x: 1}}", "{a: null}", {"a": None}),
        ("{a: {x: 1}}", "{a: 5}", {"a": 5}),
        ("{a: 5}", "{a: {x: 1}}", {"a": {"x": 1}}),
        ("{a: {kind: p, x: 1}}", "{a: {kind: q, y: 2}}", {"a": {"kind": "q", "y": 2}}),
        ("{a: {kind: p, x: 1}}", "{a: {kind: p, y: 2}}", {"a": {"kind": "p", "x": 1, "y": 2}}),
        ("{a: {kind: p, x: 1}}", "{a: {x: 2}}", {"a": {"kind": "p", "x": 2}}),
        ("{a: {x: 1}}", "{a: {kind: q}}", {"a": {"kind": "q"}}),
        (
            "{a: {kind: p, in: {kind: r, x: 1}}}",
            "{a: {in: {kind: s}, z: 3}}",
            {"a": {"kind": "p", "in": {"kind": "s"}, "z": 3}},
        ),
    ],
)
def test_mappings_merge_and_everything_else_replaces(below: str, above: str, expected: object) -> None:
    assert merged(below, above) == expected


def test_merging_does_not_change_its_inputs() -> None:
    below, above = parse_yaml("{a: {x: 1}}", "f"), parse_yaml("{a: {y: 2}}", "f")
    merge(below, above)
    assert (below.plain(), above.plain()) == ({"a": {"x": 1}}, {"a": {"y": 2}})


def test_a_merged_value_keeps_the_place_where_it_was_written() -> None:
    document = merge(parse_yaml("a: 1\nb: 2\n", "below"), parse_yaml("\n\nb: 3\n", "above"))
    places = {key: (str(node.place), str(document.key_places[key])) for key, node in document.value.items()}
    assert places == {"a": ("below:1", "below:1"), "b": ("above:3", "above:3")}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("a=1", {"a": 1}),
        ("a.b.c=1e-3", {"a": {"b": {"c": 0.001}}}),
        ("a.b=", {"a": {"b": None}}),
        ("a=x=y", {"a": "x=y"}),
        ("a='12'", {"a": "12"}),
        ("a=[1, on]", {"a": [1, "on"]}),
        ("a.b={kind: zlib, level: 3}", {"a": {"b": {"kind": "zlib", "level": 3}}}),
        (" a.b =2", {"a": {"b": 2}}),
        ('bits={"flat.*.attention": 5}', {"bits": {"flat.*.attention": 5}}),
    ],
)
def test_an_assignment_is_parsed_into_a_mapping(argument: str, expected: object) -> None:
    node = parse_assignment(argument)
    assert node.plain() == expected
    assert str(node.place) == f"--set {argument}"


@pytest.mark.parametrize(
    "argument",
    ["", "a", "=1", "a.=1", ".a=1", "a..b=1", "  =1", "a=[1", "a={b: 1, b: 2}", "a=*x", "a=\tb:\n\t- c", "a=1\n---\n2"],
)
def test_the_error_of_an_invalid_assignment_begins_with_the_assignment(argument: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_assignment(argument)
    assert str(caught.value).startswith(f"--set {argument}:")


def three_layers(tmp_path: Path) -> tuple[str, str]:
    """Write a spec that extends another and has an own overlay, and an overlay file; return both paths."""
    write(tmp_path / "base.yaml", changed(("batch_tokens: 512", "batch_tokens: 1024"), ("width: 64", "width: 32")))
    text = (
        "extends: ./base.yaml\nname: top\n"
        "recipe: {model: {width: 48}, optimizer: {matrix_lr: 0.1, scalar_lr: 0.1}}\n"
        "overlays:\n  mine: {recipe: {model: {width: 80}, optimizer: {scalar_lr: 0.2}, budget: {train: 7}}}\n"
    )
    overlay = write(tmp_path / "over.yaml", "recipe: {optimizer: {scalar_lr: 0.3}, budget: {train: 8}}\n")
    return str(write(tmp_path / "top.yaml", text)), str(overlay)


def test_layers_apply_in_the_order_base_spec_overlays_assignments(tmp_path: Path) -> None:
    spec, overlay = three_layers(tmp_path)
    loaded = load_spec(spec, ["mine", overlay], ["recipe.budget.train=9"]).spec
    recipe = loaded.recipe
    assert (loaded.name, recipe.schedule.batch_tokens, recipe.model.width) == ("top", 1024, 80)
    assert isinstance(recipe.optimizer, MuonAdamW)
    assert (recipe.optimizer.matrix_lr, recipe.optimizer.scalar_lr, recipe.budget.train) == (0.1, 0.3, 9)


def test_the_last_overlay_and_the_last_assignment_win(tmp_path: Path) -> None:
    spec, overlay = three_layers(tmp_path)
    optimizer = load_spec(spec, [overlay, "mine"]).spec.recipe.optimizer
    assert isinstance(optimizer, MuonAdamW)
    assert optimizer.scalar_lr == 0.2
    again = load_spec(spec, [], ["recipe.budget.train=1", "recipe.budget.train=2"])
    assert again.spec.recipe.budget.train == 2


def test_sources_name_the_file_and_line_of_the_layer_that_won(tmp_path: Path) -> None:
    spec, overlay = three_layers(tmp_path)
    sources = load_spec(spec, ["mine", overlay], ["recipe.budget.clock=tokens"]).sources
    assert sources["name"] == f"{spec}:2"
    assert sources["recipe.model.width"] == f"{spec}:5"
    assert sources["recipe.optimizer.scalar_lr"] == f"{overlay}:1"
    assert sources["recipe.optimizer.matrix_lr"] == f"{spec}:3"
    assert sources["recipe.budget.clock"] == "--set recipe.budget.clock=tokens"
    assert sources["recipe.model.attention.heads"].endswith("base.yaml:9")
    assert "recipe.optimizer.beta1" not in sources


def test_specs_extend_one_another_up_to_four_times(tmp_path: Path) -> None:
    write(tmp_path / "s0.yaml")
    for number in range(1, 6):
        changes = f"name: s{number}\nextends: ./s{number - 1}.yaml\nrecipe: {{optimizer: {{matrix_lr: 0.{number}}}}}\n"
        write(tmp_path / f"s{number}.yaml", changes)
    loaded = load_spec(str(tmp_path / "s4.yaml"))
    assert isinstance(loaded.spec.recipe.optimizer, MuonAdamW)
    assert (loaded.spec.name, loaded.spec.recipe.optimizer.matrix_lr) == ("s4", 0.4)
    assert loaded.sources["recipe.model.attention.heads"].startswith(f"{tmp_path}/s0.yaml:")
    with pytest.raises(SpecError) as caught:
        load_spec(str(tmp_path / "s5.yaml"))
    chain = " extends ".join(f"s{number}.yaml" for number in range(5, -1, -1))
    said = "found more than 4 specs below s5.yaml; write what it needs of them into s5.yaml itself"
    assert str(caught.value) == f"{tmp_path}/s1.yaml:2: {chain}: {said}"


@pytest.mark.parametrize(
    ("top", "chain"), [("a", "a.yaml extends b.yaml extends a.yaml"), ("b", "b.yaml extends a.yaml")]
)
def test_a_circle_of_specs_is_named(tmp_path: Path, top: str, chain: str) -> None:
    write(tmp_path / "a.yaml", "name: a\nextends: ./b.yaml\n")
    write(tmp_path / "b.yaml", "name: b\nextends: ./a.yaml\n")
    with pytest.raises(SpecError, match=f"{chain}.*: that is a circle"):
        load_spec(str(tmp_path / f"{top}.yaml"))


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").symlink_to("b.yaml")
    write(tmp_path / "a.yaml", "name: a\nextends: ./b.yaml\n")
    with pytest.raises(SpecError, match=r"b.yaml: Too many levels of symbolic links"):
        load_spec(str(tmp_path / "a.yaml"))


def test_overlays_of_all_bases_apply(tmp_path: Path) -> None:
    base = (
        changed(("width: 64", "width: 32")) + "overlays: {small: {recipe: {model: {width: 16}, budget: {train: 5}}}}\n"
    )
    write(tmp_path / "a.yaml", base)
    write(tmp_path / "b.yaml", "name: b\nextends: ./a.yaml\noverlays: {small: {recipe: {budget: {train: 6}}}}\n")
    write(tmp_path / "c.yaml", "name: c\nextends: ./b.yaml\nrecipe: {model: {width: 48}}\n")
    recipe = load_spec(str(tmp_path / "c.yaml"), ["small"]).spec.recipe
    assert (recipe.model.width, recipe.budget.train) == (16, 6)


def test_a_spec_that_extends_itself_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "name: a\nextends: ./a.yaml\n")
    with pytest.raises(SpecError, match=r"a.yaml:2: a.yaml extends a.yaml: that is a circle"):
        load_spec(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize("value", ["3", "[a, b]", "{a: b}", "null", "true"])
def test_extends_names_one_spec(tmp_path: Path, value: str) -> None:
    file = write(tmp_path / "a.yaml", f"name: a\nextends: {value}\n")
    with pytest.raises(SpecError) as caught:
        load_spec(str(file))
    assert str(caught.value).startswith(f"{file}:2: ")


def test_a_missing_base_is_refused_by_name(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "extends: ./gone.yaml\nname: a\n")
    with pytest.raises(SpecError, match=r"gone\.yaml: no such file"):
        load_spec(str(file))
    file = write(tmp_path / "a.yaml", "extends: quikstart\nname: a\n")
    with pytest.raises(SpecError, match="did you mean `quickstart`"):
        load_spec(str(file))


def test_another_kind_replaces_the_slot_and_the_same_kind_merges(tmp_path: Path) -> None:
    spec = str(write(tmp_path / "s.yaml"))
    assert load_spec(spec, [], ["recipe.codec.kind=zlib"]).spec.recipe.codec == Zlib(kind="zlib", level=9)
    assert load_spec(spec, [], ["recipe.codec={kind: brotli}"]).spec.recipe.codec == Brotli(kind="brotli", quality=9)
    clip = load_spec(spec, [], ["recipe.quantizer.clip={kind: percentile, percentile: 99}"]).spec.recipe.quantizer.clip
    assert clip == PercentileClip(kind="percentile", percentile=99)


def folder_of(spec: Path, *overlays: str, assignments: tuple[str, ...] = ()) -> str:
    data = load_spec(str(spec), overlays, assignments).spec.recipe.data
    assert isinstance(data, Shards)
    return data.folder


EMBEDDED = "{kind: embedded, vocabulary_size: 512}"


def test_a_path_is_relative_to_the_file_that_holds_it(tmp_path: Path) -> None:
    text = changed((EMBEDDED, "{kind: shards, folder: ../data/x}"))
    assert folder_of(write(tmp_path / "specs" / "s.yaml", text)) == str(tmp_path / "data" / "x")


def test_a_path_in_an_overlay_file_is_relative_to_the_overlay(tmp_path: Path) -> None:
    spec = write(tmp_path / "specs" / "s.yaml")
    overlay = write(tmp_path / "overlays" / "o.yaml", "recipe: {data: {kind: shards, folder: here}}\n")
    assert folder_of(spec, str(overlay)) == str(tmp_path / "overlays" / "here")


def test_a_path_in_an_own_overlay_block_is_relative_to_the_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = changed() + "overlays:\n  big: {recipe: {data: {kind: shards, folder: big}}}\n"
    spec = write(tmp_path / "specs" / "s.yaml", text)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert os.path.realpath(folder_of(spec, "big")) == str(tmp_path / "specs" / "big")


def test_a_path_in_a_base_is_relative_to_the_base(tmp_path: Path) -> None:
    write(tmp_path / "bases" / "base.yaml", changed((EMBEDDED, "{kind: shards, folder: tokens}")))
    spec = write(tmp_path / "specs" / "s.yaml", "extends: ../bases/base.yaml\nname: s\n")
    assert folder_of(spec) == str(tmp_path / "bases" / "tokens")


@pytest.mark.parametrize(
    "assignment", ["recipe.data={kind: shards, folder: tokens}", "recipe={data: {kind: shards, folder: ./tokens}}"]
)
def test_a_path_in_an_assignment_is_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assignment: str
) -> None:
    spec = write(tmp_path / "specs" / "s.yaml")
    monkeypatch.chdir(tmp_path)
    assert folder_of(spec, assignments=(assignment,)) == str(tmp_path / "tokens")


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    text = changed((EMBEDDED, "{kind: shards, folder: /srv/tokens}"))
    assert folder_of(write(tmp_path / "s.yaml", text)) == "/srv/tokens"


def test_an_unknown_overlay_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    spec, _ = three_layers(tmp_path)
    with pytest.raises(SpecError, match="it has mine"):
        load_spec(spec, ["yours"])
    with pytest.raises(SpecError, match=r"gone\.yaml: no such file"):
        load_spec(spec, [str(tmp_path / "gone.yaml")])


def test_an_overlay_that_is_not_a_mapping_is_refused_at_its_line(tmp_path: Path) -> None:
    spec = write(tmp_path / "s.yaml", changed() + "overlays:\n  bad: 3\n")
    with pytest.raises(SpecError, match=r"s\.yaml:23: overlay bad"):
        load_spec(str(spec), ["bad"])


@pytest.mark.parametrize("value", ["3", "[a]", "word"])
def test_overlays_that_are_not_a_mapping_are_refused(tmp_path: Path, value: str) -> None:
    spec = write(tmp_path / "s.yaml", changed() + f"overlays: {value}\n")
    with pytest.raises(SpecError, match=r"s\.yaml:22: overlays"):
        load_spec(str(spec))
