"""Spec hashes: what changes them and what does not."""

import hashlib
import json
from pathlib import Path

import pytest

from pgolf.specs.experiment import recipe_json
from pgolf.specs.identity import spec_sha256, without_later_keys
from pgolf.specs.loading import load_spec
from tests.pgolf.specs.builders import WHOLE, changed, load_text

RULES, DATA = "parameter_golf-1", "d" * 64


def identity(folder: Path, text: str, data: str = DATA, ruleset: str = RULES) -> str:
    return spec_sha256(load_text(folder, text).spec.recipe, ruleset, data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("train: 3.2e9", "train: 3200000000"),
        ("train: 3.2e9", "train: 3200000000.0"),
        ("train: 3.2e9", "train: 32e+8"),
        ("train: 3.2e9", "train: 0xBEBC2000"),
        ("{clock: tokens, train: 3.2e9}", "{train: 3.2e9, clock: tokens}"),
        ("{default: 6, embedding: 8}", "{embedding: 8, default: 6}"),
        ("{clock: tokens, train: 3.2e9}", "{clock: tokens, train: 3.2e9, reserve_seconds: 0}"),
        ("{kind: muon_adamw}", "{kind: muon_adamw, beta1: 9e-1, matrix_lr: 4e-2}"),
        ("{kind: muon_adamw}", "{kind: 'muon_adamw', momentum: {warmup_steps: 500}}"),
        ("name: whole", "name: another\nquestion: What for?"),
        ("spec_version: 1", "# a comment\nspec_version: 1\nseeds: [7]"),
        ("spec_version: 1", "spec_version: 1\nlaunch: {on: modal, gpu: 'H100:8', processes: 8}"),
        ("spec_version: 1", "spec_version: 1\nspend: {usd: 40}"),
        ("spec_version: 1", "spec_version: 1\noverlays: {tiny: {recipe: {model: {width: 32}}}}"),
    ],
)
def test_the_same_experiment_written_differently_has_the_same_hash(tmp_path: Path, old: str, new: str) -> None:
    assert identity(tmp_path, changed((old, new))) == identity(tmp_path, WHOLE)


CHANGES = [
    ("width: 64", "width: 128"),
    ("layers: 2", "layers: 3"),
    ("layers: 2", "layers: 2, skips: unet"),
    ("layers: 2", "layers: 2, input_mix: true"),
    ("kv_heads: 2", "kv_heads: 1"),
    ("kv_heads: 2", "kv_heads: 2, q_gain: 1.6"),
    ("kv_heads: 2", "kv_heads: 2, rope: {dims: 8}"),
    ("kv_heads: 2", "kv_heads: 2, rope: {base: 500}"),
    ("ratio: 2", "ratio: 2.5"),
    ("{kind: tied}", "{kind: tied, deviation: 0.01}"),
    ("{kind: tied}", "{kind: tied}\n    softcap: 20"),
    ("{kind: muon_adamw}", "{kind: muon_adamw, matrix_lr: 0.041}"),
    ("{kind: muon_adamw}", "{kind: muon_adamw, momentum: {end: 0.96}}"),
    ("{kind: muon_adamw}", "{kind: muon_adamw, clip_norm: 1}"),
    ("fraction: 0.5", "fraction: 0.6"),
    ("batch_tokens: 512", "batch_tokens: 1024"),
    ("sequence_tokens: 64", "sequence_tokens: 128"),
    ("{kind: none}", "{kind: ema}"),
    ("{default: 6,", "{default: 5,"),
    ("embedding: 8}", "embedding: 8, 'flat.0': 6}"),
    ("default: 12.85", "default: 12.86"),
    ("kind: rtn", "kind: rtn\n    float_up_to: 0"),
    ("kind: rtn", "kind: rtn\n    float_type: float32"),
    ("kind: rtn", "kind: rtn\n    scale_floor: {default: 0.01}"),
    ("kind: rtn", "kind: rtn\n    steps: {kind: fisher}"),
    ("kind: rtn", "kind: rtn\n    fill_bytes: 900000"),
    ("{kind: brotli, quality: 9}", "{kind: zlib}"),
    ("quality: 9", "quality: 10"),
    ("stride: 64", "stride: 32"),
    ("{kind: sliding, window: 128, stride: 64}", "{kind: chunked, window: 128}"),
    ("train: 3.2e9", "train: 3.2000001e9"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_every_change_of_the_recipe_changes_the_hash(tmp_path: Path, old: str, new: str) -> None:
    assert identity(tmp_path, changed((old, new))) != identity(tmp_path, WHOLE)


def test_all_changed_recipes_differ_from_each_other(tmp_path: Path) -> None:
    found = {identity(tmp_path, changed(change)) for change in CHANGES}
    assert len(found) == len(CHANGES)


def test_data_is_identified_by_its_hash_and_not_by_its_path(tmp_path: Path) -> None:
    slot = "{kind: embedded, vocabulary_size: 512}"
    here = changed((slot, "{kind: shards, folder: here, vocabulary_size: 512}"))
    there = changed((slot, "{kind: shards, folder: /srv/there, vocabulary_size: 512}"))
    assert identity(tmp_path, here) == identity(tmp_path, there) == identity(tmp_path, WHOLE)
    assert identity(tmp_path, here, data="e" * 64) != identity(tmp_path, here)


def test_the_ruleset_version_is_part_of_the_hash(tmp_path: Path) -> None:
    assert identity(tmp_path, WHOLE, ruleset="parameter_golf-2") != identity(tmp_path, WHOLE)


def test_the_hash_is_that_of_canonical_json_written_out_by_hand(tmp_path: Path) -> None:
    recipe = {
        "averaging": {"kind": "none"},
        "budget": {"clock": "tokens", "reserve_seconds": 0.0, "train": 3200000000.0},
        "codec": {"kind": "brotli", "quality": 9},
        "compute": {
            "attention": "automatic", "compile": "on_gpu", "loss": "chunked", "orthogonalization": "shared_out",
            "precision": "bfloat16_on_gpu", "scoring": "together", "stream": "bfloat16_on_gpu",
        },
        "data": DATA,
        "evaluation": {
            "kind": "sliding", "references": {}, "stride": 64, "tail": "score", "temperature": 1.0, "window": 128,
        },
        "model": {
            "asymmetric_softcap": False,
            "attention": {
                "exclusive": [], "gate": {"kind": "none"}, "heads": 4, "kind": "grouped_query", "kv_heads": 2,
                "q_gain": 1.5,
                "rope": {
                    "base": 10000.0, "dims": None, "loop_divisors": [], "published_truncated": False,
                    "trained_tokens": None,
                },
                "value_residual": False,
            },
            "embedding": {"bigram": None, "deviation": 0.005, "kind": "tied", "smear": {"kind": "none"}, "value": None},
            "initial_matrices": "uniform",
            "kind": "gpt",
            "mlp": {"kind": "relu_squared", "ratio": 2.0},
            "softcap": 30.0,
            "topology": {
                "depth_scale": False, "input_mix": False, "kind": "flat", "layers": 2, "parallel": "none",
                "parallel_from": 0, "recurrence": None, "scales": "block", "skips": "none",
            },
            "width": 64,
        },
        "optimizer": {
            "adamw": [], "beta1": 0.9, "beta2": 0.95, "clip_norm": 0.0, "coefficients": "quintic",
            "decay_after_update": False, "embedding_lr": 0.05, "embedding_weight_decay": None, "epsilon": 1e-08,
            "frozen": [], "kind": "muon_adamw", "lr": {}, "matrix_lr": 0.04,
            "momentum": {"end": 0.95, "start": 0.85, "warmup_steps": 500}, "orthogonalization_steps": 5,
            "published_stale_gradients": False, "row_normalized": False, "scalar_lr": 0.04, "scalar_weight_decay": 0.0,
            "weight_decay": 0.0,
        },
        "quantizer": {
            "bits": {"default": 6, "embedding": 8}, "clip": {"k": {"default": 12.85}, "kind": "deviations"},
            "fit_bytes": 0, "fitted": ["*"], "float_type": "float16", "float_up_to": 65536,
            "kind": "rtn",
            "pruned": 0.0, "residual": None, "scale_floor": {}, "training": {"kind": "none"},
        },
        "schedule": {
            "batch_tokens": 512, "clock": "tokens", "floor": 0.0, "fraction": 0.5, "kind": "warmdown",
            "loader": {"kind": "sequential"}, "micro_batch_tokens": None, "sequence_tokens": 64,
        },
    }  # fmt: skip
    canonical = json.dumps({"recipe": recipe, "ruleset": RULES}, separators=(",", ":"))
    assert identity(tmp_path, WHOLE) == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(("gain", "counted"), [("1.0", False), ("2.0", True)])
def test_a_key_of_a_later_release_counts_only_where_it_changes_something(gain: str, counted: bool) -> None:
    gate = f"recipe.model.attention.gate={{kind: sparse, gain: {gain}}}"
    plain_rtn = "{kind: rtn, bits: {default: 6}, clip: {kind: percentile, percentile: 99.9}}"
    reference = f"recipe.evaluation.references={{plain: {{quantizer: {plain_rtn}}}}}"
    document = without_later_keys(recipe_json(load_spec("quickstart", (), (gate, reference)).spec.recipe))
    assert ("gain" in document["model"]["attention"]["gate"]) == counted
    assert document["model"]["attention"]["gate"]["scale"] == 0.5
    assert not {"steps", "fill_bytes"} & document["quantizer"].keys()
    (plain,) = document["evaluation"]["references"].values()
    assert not {"steps", "fill_bytes"} & plain["quantizer"].keys()
    assert plain["quantizer"]["pruned"] == 0.0
