"""Bytes of public runs predicted from their hyperparameters, against their real bytes."""

import json
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from pgolf.errors import SpecError
from pgolf.preflight.public_runs import estimate_public_run
from trainer.codec.brotli import BrotliCompressor

RECORDS = Path(__file__).parents[4] / "shared" / "records" / "artifact_sizes.jsonl"
RUN = {
    "compressor": "brotli",
    "model_params": 35_944_536,
    "config": {
        "num_layers": 11, "model_dim": 512, "num_heads": 8, "num_kv_heads": 4, "mlp_mult": 4.0, "vocab_size": 8192,
        "matrix_bits": 6, "embed_bits": 8, "matrix_clip_sigmas": 12.85, "embed_clip_sigmas": 20.0,
    },
    "quant_groups": {
        "gptq (int6)": ["blocks.attn.c_q.weight", "blocks.mlp.fc.weight"],
        "gptq (int8)": ["tok_emb.weight"],
    },
}  # fmt: skip


def with_config(**changes: Any) -> dict[str, Any]:
    run = deepcopy(RUN)
    run["config"] |= changes  # type: ignore[operator]
    return run


def clean_rows() -> list[dict[str, Any]]:
    if not RECORDS.exists():
        pytest.skip("shared/records is not here")
    rows = [json.loads(line) for line in RECORDS.read_text().splitlines()]
    return [row for row in rows if row["tier"] == "clean" and ("brotli" in row["compressor"])]


def test_public_runs_are_predicted_within_the_claimed_error() -> None:
    errors, inside = [], []
    for row in clean_rows():
        real = row["model_bytes"]
        found = estimate_public_run({key: value for key, value in row.items() if "bytes" not in key})
        errors.append(abs(found.estimate / real - 1))
        inside.append(found.low <= real <= found.high)
    assert median(errors) < 0.001
    assert sum(error < 0.003 for error in errors) >= 0.9 * len(errors)
    assert sum(inside) >= 0.9 * len(inside)


def test_byte_counts_in_a_description_are_ignored() -> None:
    described = with_config() | {"model_bytes": 1, "total_bytes": 2, "raw_model_bytes": 3, "bits_per_param": 0.1}
    assert estimate_public_run(described) == estimate_public_run(RUN)


def test_the_estimate_matches_brotli_on_gaussian_codes() -> None:
    rng = np.random.default_rng(0)
    codes = {}
    for clip, bits, count in ((12.85, 6, 31_719_424), (20.0, 8, 4_194_304)):
        levels = 2 ** (bits - 1) - 1
        sample = np.clip(np.rint(rng.standard_normal(1 << 18) / (clip / levels)), -levels, levels).astype(np.int8)
        codes[clip] = len(BrotliCompressor(11).compress(sample.tobytes())) / sample.size * count
    rows = 11 * (2 * (512 + 256) + 2048 + 512) + 8192
    floats = RUN["model_params"] - 31_719_424 - 4_194_304  # type: ignore[operator]
    assert estimate_public_run(RUN).estimate == pytest.approx(sum(codes.values()) + 1.8 * (rows + floats), rel=0.006)


@pytest.mark.parametrize(
    ("changes", "more_bytes"),
    [
        ({"matrix_clip_sigmas": 25.7}, -31_719_424 / 8),  # a step twice as wide: one bit less
        ({"mlp_clip_sigmas": 6.425}, 11 * 2 * 512 * 2048 / 8),
        ({"embed_clip_sigmas": 10}, 4_194_304 / 8),
        ({"lqer_enabled": True, "lqer_rank": 4, "lqer_top_k": 2}, 2 * 4 * (2048 * 1.2 + 512 * 3.5) / 8 + 2 * 64),
        ({"awq_lite_enabled": "True", "awq_lite_bits": 9}, 8192 * 64 / 8 + 8192 * 1.8),
        ({"gated_attn_enabled": True, "gated_attn_quant_gate": True}, -0.8 * 30_808),  # all values outside matrices
    ],
)
def test_each_hyperparameter_changes_the_bytes_by_the_expected_amount(
    changes: dict[str, Any], more_bytes: float
) -> None:
    more = estimate_public_run(with_config(**changes)).estimate - estimate_public_run(RUN).estimate
    assert more == pytest.approx(more_bytes, rel=0.05)


def test_values_can_be_strings_as_in_logs() -> None:
    texts = {key: str(value) for key, value in RUN["config"].items()}  # type: ignore[attr-defined]
    assert estimate_public_run({**RUN, "config": texts}) == estimate_public_run(RUN)


def test_listed_groups_override_the_bits_of_the_hyperparameters() -> None:
    run = deepcopy(RUN)
    run["quant_groups"] = {"gptq (int5)": ["blocks.attn.c_q.weight", "blocks.mlp.fc.weight"]}
    described = {**with_config(matrix_bits=5), "quant_groups": {}}
    assert estimate_public_run(run).estimate == estimate_public_run(described).estimate


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({**RUN, "compressor": "zstd"}, "'zstd', which is not calibrated"),
        (with_config(matrix_bits_overrides="attn.proj:7"), "bits by layer (matrix_bits_overrides)"),
        (with_config(matrix_clip_sigmas=30), "quantization steps that few public runs used"),
        (with_config(max_wallclock_seconds=14400), "more than an hour of training"),
        (with_config(embedding_dim=416), "an embedding of another width"),
        ({**RUN, "model_params": 35_920_000}, "fewer parameters"),
        ({**RUN, "model_params": 36_500_000}, "many values in float16"),
        ({**RUN, "quant_groups": {"gptq (int6)": ["gdn.conv"]}}, "matrices of unknown kinds"),
        ({"model_params": 5_000_000, "config": {"num_layers": 3}}, "usual bits per parameter"),
    ],
)
def test_unknowns_widen_the_interval_and_are_named(run: dict[str, Any], reason: str) -> None:
    found, usual = estimate_public_run(run), estimate_public_run(RUN)
    assert reason in found.basis
    assert (found.high - found.low) / found.estimate > 1.5 * (usual.high - usual.low) / usual.estimate
    assert found.low < found.estimate < found.high


@pytest.mark.parametrize(
    "changes",
    [{"num_heads": 0}, {"matrix_bits": 40}, {"embed_bits": 0}, {"matrix_clip_sigmas": 0}, {"mlp_mult": float("inf")},
     {"lqer_top_k": 10**9}, {"lqer_asym_group": 0}, {"num_layers": -3}, {"embed_clip_sigmas": float("nan")}],
)  # fmt: skip
def test_an_impossible_shape_falls_back_to_usual_bits(changes: dict[str, Any]) -> None:
    assert "usual bits per parameter" in estimate_public_run(with_config(**changes)).basis


@pytest.mark.parametrize(
    "run",
    [{}, {"model_params": "many"}, {"model_params": 5, "config": 7}, {"model_params": 10**400}, {"model_params": -1}],
)
def test_an_incomplete_description_is_refused_with_the_key(run: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"model_params|config"):
        estimate_public_run(run)
