"""Error messages of invalid specs: the right line, what was found, what was expected."""

from pathlib import Path

import pytest

from pgolf.errors import SpecError
from pgolf.specs.loading import load_spec
from tests.pgolf.specs.builders import WHOLE, changed, line_of, load_text, refusal_of, write

UNKNOWN_KEYS = [
    ("name: whole", "nmae: whole", "nmae", "`name`"),
    ("recipe:\n", "recipes:\n", "recipes", "`recipe`"),
    ("width: 64", "widht: 64", "recipe.model.widht", "`width`"),
    ("layers: 2", "layer: 2", "recipe.model.topology.layer", "`layers`"),
    ("kv_heads: 2", "kv_head: 2", "recipe.model.attention.kv_head", "`kv_heads`"),
    ("stride: 64", "strid: 64", "recipe.evaluation.strid", "`stride`"),
    ("quality: 9", "qality: 9", "recipe.codec.qality", "`quality`"),
    ("k: {default", "kk: {default", "recipe.quantizer.clip.kk", "`k`"),
    ("bits: {", "bit: {", "recipe.quantizer.bit", "`bits`"),
    ("batch_tokens: 512", "batch_token: 512", "recipe.schedule.batch_token", "`batch_tokens`"),
    ("vocabulary_size: 512", "vocab_size: 512", "recipe.data.vocab_size", "`vocabulary_size`"),
    ("train: 3.2e9", "trains: 3.2e9", "recipe.budget.trains", "`train`"),
]


@pytest.mark.parametrize(("old", "new", "key", "meant"), UNKNOWN_KEYS)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_key(
    tmp_path: Path, old: str, new: str, key: str, meant: str
) -> None:
    text = changed((old, new))
    said = refusal_of(tmp_path, text)
    expected = f"spec.yaml:{line_of(text, new)}: {key} is not a key here; did you mean {meant}?"
    assert expected in said.splitlines()


@pytest.mark.parametrize(
    ("assigned", "keys"),
    [
        (["recipe.modle=3"], {"recipe.modle"}),
        (["recipe.model.width=7"], {"recipe.model.attention.heads"}),
        (
            ["recipe.optimizer.matrix_lr=no", "recipe.model.width=0"],
            {"recipe.model.width", "recipe.optimizer.matrix_lr"},
        ),
    ],
)
def test_a_refusal_carries_the_keys_to_change(assigned: list[str], keys: set[str]) -> None:
    with pytest.raises(SpecError) as refusal:
        load_spec("quickstart", [], assigned)
    assert set(refusal.value.keys) == keys


@pytest.mark.parametrize(
    ("old", "new", "line", "choices"),
    [
        ("kind: none", "kind: none, zzz: 1", 14, ["kind"]),
        ("quality: 9", "zzz: 1", 19, ["kind", "quality"]),
        ("kind: deviations", "kind: deviations, zzz: 3", 18, ["kind", "k"]),
    ],
)
def test_the_error_of_an_unknown_key_lists_the_keys_of_the_chosen_kind(
    tmp_path: Path, old: str, new: str, line: int, choices: list[str]
) -> None:
    said = refusal_of(tmp_path, changed((old, new)))
    assert said.startswith(f"spec.yaml:{line}: recipe.")
    assert said.endswith(f"zzz is not a key here; expected one of {', '.join(choices)}")


def test_a_key_of_a_sibling_kind_is_refused(tmp_path: Path) -> None:
    said = refusal_of(tmp_path, changed(("kind: brotli, quality: 9", "kind: zlib, quality: 9")))
    assert said == "spec.yaml:19: recipe.codec.quality is not a key here; expected one of kind, level"


WRONG_VALUES = [
    ("width: 64", "width: true", "recipe.model.width: found True, expected integer"),
    ("width: 64", 'width: "64"', "recipe.model.width: found '64', expected integer"),
    ("width: 64", "width: 64.0", "recipe.model.width: found 64.0, expected integer"),
    ("width: 64", "width: 64.5", "recipe.model.width: found 64.5"),
    ("width: 64", "width: wide", "recipe.model.width: found 'wide', expected integer"),
    ("width: 64", "width: [64]", "recipe.model.width: found a list"),
    ("width: 64", "width: {a: 1}", "recipe.model.width: found a mapping"),
    ("width: 64", "width: null", "recipe.model.width: found nothing, expected integer"),
    ("width: 64", "width:", "recipe.model.width: found nothing, expected integer"),
    ("width: 64", "width: 0", "recipe.model.width: found 0, expected greater than or equal to 1"),
    ("width: 64", "width: -3", "recipe.model.width: found -3"),
    ("width: 64", "width: 2024-01-01", "recipe.model.width: found '2024-01-01'"),
    ("train: 3.2e9", "train: .nan", "recipe.budget.train: found nan, expected a finite number"),
    ("train: 3.2e9", "train: .inf", "recipe.budget.train: found inf, expected a finite number"),
    ("train: 3.2e9", "train: -.inf", "recipe.budget.train: found -inf"),
    ("train: 3.2e9", "train: 1e999", "recipe.budget.train: found inf, expected a finite number"),
    ("train: 3.2e9", "train: -1", "recipe.budget.train: found -1"),
    ("train: 3.2e9", "train: true", "recipe.budget.train: found True, expected number"),
    ("train: 3.2e9", 'train: "3.2e9"', "recipe.budget.train: found '3.2e9', expected number"),
    ("fraction: 0.5", "fraction: 1.5", "recipe.schedule.fraction: found 1.5"),
    ("default: 6,", "default: 9,", "recipe.quantizer.bits.default: found 9"),
    ("default: 6,", "default: true,", "recipe.quantizer.bits.default: found True"),
    ("default: 6,", 'default: "6",', "recipe.quantizer.bits.default: found '6'"),
    ("default: 12.85", "default: .nan", "recipe.quantizer.clip.k.default: found nan, expected a finite number"),
    ("default: 12.85", "default: true", "recipe.quantizer.clip.k.default: found True"),
    ("default: 12.85", "default: 0", "recipe.quantizer.clip.k.default: found 0"),
    ("quality: 9", "quality: 12", "recipe.codec.quality: found 12"),
    ("vocabulary_size: 512", "vocabulary_size: true", "recipe.data.vocabulary_size: found True"),
    ("spec_version: 1", "spec_version: 2", "spec_version: found 2"),
    ("spec_version: 1", "spec_version: true", "spec_version: found True"),
    ("name: whole", "name: Not Good", "name: found 'Not Good', expected lower-case"),
    ("name: whole", "name: ../evil", "name: found '../evil', expected lower-case"),
    ("name: whole", "name: 12", "name: found 12, expected string"),
    ("clock: tokens, train", "clock: hours, train", "recipe.budget.clock: found 'hours'"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG_VALUES)
def test_a_wrong_value_is_shown_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = changed((old, new))
    said = refusal_of(tmp_path, text)
    assert said.startswith(f"spec.yaml:{line_of(text, new)}: {message}")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("seeds: []", "seeds: found a list, expected a list with at least 1 item"),
        ("seeds: 3", "seeds: found 3, expected list"),
        ("seeds: [1, -1]", "seeds.1: found -1"),
        ("seeds: [1, true]", "seeds.1: found True, expected integer"),
        ("seeds: [2147483648]", "seeds.0: found 2147483648"),
        ("launch: {processes: 0}", "launch.processes: found 0"),
        ("launch: {gpu: 8}", "launch.gpu: found 8, expected string"),
        ("launch: {gpu: 'H100:many'}", "launch.gpu: found 'H100:many'"),
        ("launch: {gpus: H100}", "launch.gpus is not a key here; did you mean `gpu`?"),
        ("launch: null", "launch: found nothing, expected a mapping"),
        ("spend: {usd: 0}", "spend.usd: found 0"),
        ("spend: {usd: .nan}", "spend.usd: found nan"),
        ("spend: {usd: .inf}", "spend.usd: found inf"),
        ("launch: {options: {timeout: .inf}}", "launch.options"),
    ],
)
def test_values_outside_the_recipe_are_checked_as_well(tmp_path: Path, extra: str, message: str) -> None:
    said = refusal_of(tmp_path, WHOLE + extra + "\n")
    assert said.startswith(f"spec.yaml:22: {message}")


@pytest.mark.parametrize(
    ("old", "new", "start", "mentions"),
    [
        ("{kind: brotli, quality: 9}", "{quality: 9}", "spec.yaml:19: recipe.codec has no `kind`", ["brotli", "zlib"]),
        ("{kind: none}", "{}", "spec.yaml:14: recipe.averaging has no `kind`", ["none", "ema"]),
        ("kind: brotli", "kind: brotlli", "spec.yaml:19: recipe.codec.kind 'brotlli'", ["mean `brotli`"]),
        ("kind: none", "kind: zzzz", "spec.yaml:14: recipe.averaging.kind 'zzzz' is unknown", ["none", "ema"]),
        ("kind: brotli", "kind: 3", "spec.yaml:19: recipe.codec.kind '3' is unknown", ["brotli", "zlib"]),
        ("kind: brotli", "kind: null", "spec.yaml:19: recipe.codec", ["brotli", "zlib"]),
        ("kind: gpt", "kind: gtp", "spec.yaml:6: recipe.model.kind: found 'gtp'", ["gpt"]),
        ("kind: rtn", "kind: lion", "spec.yaml:16: recipe.quantizer.kind 'lion' is unknown", ["rtn", "gptq"]),
        ("kind: deviations", "kind: sd", "spec.yaml:18: recipe.quantizer.clip.kind 'sd'", ["deviations", "percentile"]),
        ("    kind: gpt\n", "", "spec.yaml:5: recipe.model.kind is missing", []),
        ("{kind: brotli, quality: 9}", "null", "spec.yaml:19: recipe.codec: found nothing, expected a mapping", []),
        ("{kind: brotli, quality: 9}", "zlib", "spec.yaml:19: recipe.codec: found 'zlib', expected a mapping", []),
        ("{kind: muon_adamw}", "[1]", "spec.yaml:12: recipe.optimizer: found a list, expected a mapping", []),
    ],
)
def test_the_error_of_a_slot_without_a_valid_kind_lists_the_kinds(
    tmp_path: Path, old: str, new: str, start: str, mentions: list[str]
) -> None:
    said = refusal_of(tmp_path, changed((old, new)))
    assert said.startswith(start)
    assert all(word in said for word in mentions)


@pytest.mark.parametrize(
    ("old", "line", "key"),
    [
        ("  budget: {clock: tokens, train: 3.2e9}\n", 3, "recipe.budget"),
        ("name: whole\n", 1, "name"),
        (", train: 3.2e9", 21, "recipe.budget.train"),
        ("    width: 64\n", 5, "recipe.model.width"),
        (", kv_heads: 2", 9, "recipe.model.attention.kv_heads"),
    ],
)
def test_a_missing_key_is_reported_at_the_mapping_it_belongs_to(tmp_path: Path, old: str, line: int, key: str) -> None:
    said = refusal_of(tmp_path, changed((old, "")))
    assert said.startswith(f"spec.yaml:{line}: {key} is missing")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("width: 64", "width: 63", 9, "recipe.model.attention.heads: heads 4 does not divide width 63"),
        ("width: 64", "width: 4", 9, "recipe.model.attention.heads: width / heads = 1 is odd"),
        ("kv_heads: 2", "kv_heads: 3", 9, "recipe.model.attention.kv_heads: kv_heads 3 does not divide heads 4"),
        ("kv_heads: 2", "kv_heads: 2, rope: {dims: 7}", 9, "recipe.model.attention.rope.dims: rope dims 7"),
        ("kv_heads: 2", "kv_heads: 2, rope: {dims: 18}", 9, "recipe.model.attention.rope.dims: rope dims 18"),
        ("stride: 64", "stride: 256", 20, "recipe.evaluation.stride: stride 256 is longer than window 128"),
        ("sequence_tokens: 64", "sequence_tokens: 60", 13, "recipe.schedule.sequence_tokens: sequence_tokens 60"),
        ("{clock: tokens,", "{clock: steps,", 13, "recipe.schedule.clock: schedule.clock is tokens"),
        ("train: 3.2e9", "train: 9, reserve_seconds: 3", 21, "recipe.budget.reserve_seconds: reserve_seconds needs"),
        ("{default: 6, embedding: 8}", "{embedding: 8}", 17, "recipe.quantizer.bits: bits has no `default`"),
        ("embedding: 8}", "flat..x: 8}", 17, "recipe.quantizer.bits: bits has a pattern with an empty segment"),
    ],
)
def test_contradicting_values_are_refused_at_the_one_to_change(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert refusal_of(tmp_path, changed((old, new))).startswith(f"spec.yaml:{line}: {message}")


def test_every_error_but_the_consequence_of_a_typo_has_a_line_of_its_own(tmp_path: Path) -> None:
    said = refusal_of(tmp_path, changed(("width: 64", "widht: 64"), ("quality: 9", "quality: 99")))
    assert sorted(line.split(" ")[0] for line in said.splitlines()) == ["spec.yaml:19:", "spec.yaml:7:"]


def test_an_error_in_a_layer_names_that_layer(tmp_path: Path) -> None:
    spec = write(tmp_path / "spec.yaml")
    overlay = write(tmp_path / "over.yaml", "\nrecipe:\n  model: {heads: 3}\n")
    with pytest.raises(SpecError) as caught:
        load_spec(str(spec), [str(overlay)])
    assert str(caught.value).startswith(f"{overlay}:3: recipe.model.heads is not a key here")
    with pytest.raises(SpecError) as caught:
        load_spec(str(spec), [], ["recipe.model.widht=3"])
    assert str(caught.value).startswith("--set recipe.model.widht=3: recipe.model.widht is not a key here; did you")


def test_the_unchanged_text_loads(tmp_path: Path) -> None:
    assert load_text(tmp_path, WHOLE).spec.recipe.model.width == 64
