"""Byte estimates before training: Huffman lengths, Gaussian cells, and real artifacts."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from math import log2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pgolf.preflight import rules
from pgolf.preflight.code_lengths import entropy_bits, huffman_bits, huffman_length
from pgolf.preflight.size import estimate_model_bytes, expected_percentile, filled_model_bytes
from pgolf.specs.loading import load_spec
from trainer.recipe.inventory import inventory, parameter_groups
from trainer.recipe.recipe import Recipe

WEIGHTS = st.lists(st.integers(1, 1000), min_size=2, max_size=40)


def length_vectors(symbols: int) -> Iterator[tuple[int, ...]]:
    """Yield every length assignment that a prefix code can have (Kraft)."""
    for lengths in itertools.product(range(1, symbols), repeat=symbols):
        if sum(2.0**-length for length in lengths) <= 1:
            yield lengths


@pytest.mark.parametrize(
    "weights",
    [[1, 1], [1, 1, 1], [5, 2, 1], [4, 3, 2, 1], [10, 1, 1, 1], [1, 1, 2, 3, 5], [7, 7, 1, 1, 1], [9, 9, 9, 9, 9]],
)
def test_huffman_length_is_the_minimum_over_all_prefix_codes(weights: list[int]) -> None:
    probabilities = [weight / sum(weights) for weight in weights]
    best = min(
        sum(p * length for p, length in zip(probabilities, lengths, strict=True))
        for lengths in length_vectors(len(weights))
    )
    assert huffman_length(probabilities) == pytest.approx(best)


@settings(deadline=None)
@given(WEIGHTS)
def test_huffman_length_is_within_one_bit_of_the_entropy(weights: list[int]) -> None:
    probabilities = [weight / sum(weights) for weight in weights]
    entropy = -sum(p * log2(p) for p in probabilities)
    assert entropy - 1e-9 <= huffman_length(probabilities) < entropy + 1


@pytest.mark.parametrize("symbols", [2, 4, 8, 64])
def test_equal_probabilities_cost_their_logarithm(symbols: int) -> None:
    assert huffman_length([1 / symbols] * symbols) == pytest.approx(log2(symbols))


def test_impossible_symbols_and_a_single_symbol_cost_no_bits() -> None:
    assert huffman_length([0.5, 0.0, 0.5]) == 1
    assert huffman_length([1.0]) == 0


# Table of the study behind the model: bits, clip k, entropy and Huffman length of the cells of a Gaussian.
STUDY = [
    (5, 20, 1.7317, 1.8502),
    (5, 12.85, 2.3131, 2.3683),
    (5, 9, 2.8054, 2.8540),
    (6, 15, 3.1083, 3.1589),
    (6, 12.85, 3.3279, 3.3751),
    (6, 11.5, 3.4860, 3.5130),
    (6, 10, 3.6856, 3.7034),
    (7, 15, 4.1209, 4.1680),
    (7, 12, 4.4416, 4.4667),
    (8, 20, 4.7153, 4.7396),
]


@pytest.mark.parametrize(("bits", "k", "entropy", "huffman"), STUDY)
def test_code_lengths_match_the_study(bits: int, k: float, entropy: float, huffman: float) -> None:
    largest = 2 ** (bits - 1) - 1
    assert huffman_bits(k / largest, largest) == pytest.approx(huffman, abs=1e-3)
    assert entropy_bits(k / largest, largest) == pytest.approx(entropy, abs=1e-3)


@pytest.mark.parametrize(("step", "largest"), [(0.4, 7), (1.3, 15), (0.05, 3)])
def test_huffman_bits_match_scipys_gaussian_cells(step: float, largest: int) -> None:
    edges = np.concatenate(([-np.inf], (np.arange(-largest, largest) + 0.5) * step, [np.inf]))
    cells = [float(mass) for mass in np.diff(stats.norm.cdf(edges))]
    assert sum(cells) == pytest.approx(1)
    assert huffman_bits(step, largest) == pytest.approx(huffman_length(cells))


@pytest.mark.parametrize("percentile", [50.0, 90.0, 99.0])
def test_a_percentile_of_absolute_weights_is_a_half_normal_quantile(percentile: float) -> None:
    assert expected_percentile(percentile, 10**6) == pytest.approx(stats.halfnorm.ppf(percentile / 100))


def test_a_percentile_is_at_most_the_largest_weight_of_a_row() -> None:
    drawn = np.abs(np.random.default_rng(1).standard_normal((4000, 128))).max(axis=1)
    assert expected_percentile(100, 128) == pytest.approx(drawn.mean(), rel=0.02)


def recipe_of(name: str, *assignments: str, overlay: str | None = None) -> Recipe:
    recipe = load_spec(name, [overlay] if overlay else [], assignments).spec.recipe
    return replace(recipe, data=replace(recipe.data, vocabulary_size=recipe.data.vocabulary_size or 1024))


def test_the_baseline_has_the_published_number_of_parameters() -> None:
    tensors = inventory(recipe_of("baseline").model, 1024)
    assert sum(tensor.size for tensor in tensors) == 17_059_912
    assert sum(parameter_groups(tensors).values()) == 17_059_912


def real_bytes(recipe: Recipe, file: Path, deviation: float) -> int:
    """Return the bytes of model.bin with Gaussian weights."""
    import torch

    from trainer.codec.container import ModelCard, encode_artifact
    from trainer.quantizer.quantizer import NOT_CALIBRATED, quantize_model

    generator = torch.Generator().manual_seed(7)
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    weights = {tensor.name: deviation * torch.randn(tensor.shape, generator=generator) for tensor in tensors}
    card = ModelCard(
        model=recipe.model,
        vocabulary_size=recipe.vocabulary_size,
        quantizer=recipe.quantizer,
        evaluation=recipe.evaluation,
    )
    encode_artifact(file, card, quantize_model(recipe.quantizer, tensors, weights, NOT_CALIBRATED), recipe.codec)
    return file.stat().st_size


CODECS = ["{kind: brotli, quality: 11}", "{kind: zlib}"]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("bits", "k"), [(6, 12.85), (5, 9), (8, 20), (4, 6)])
def test_a_gaussian_model_is_within_the_interval(tmp_path: Path, bits: int, k: float, codec: str) -> None:
    recipe = recipe_of(
        "quickstart",
        "recipe.model.topology.layers=1",
        f"recipe.quantizer.bits={{default: {bits}, embedding: 8}}",
        f"recipe.quantizer.clip.k={{default: {k}, embedding: 20}}",
        f"recipe.codec={codec}",
    )
    estimate = estimate_model_bytes(recipe)
    assert estimate.low <= real_bytes(recipe, tmp_path / "model.bin", 0.05) <= estimate.high


@pytest.mark.parametrize("float_type", ["float16", "float32"])
def test_unquantized_tensors_are_within_the_interval(tmp_path: Path, float_type: str) -> None:
    recipe = recipe_of(
        "quickstart",
        "recipe.quantizer.float_up_to=1000000000",
        f"recipe.quantizer.float_type={float_type}",
        overlay="micro",
    )
    estimate = estimate_model_bytes(recipe)
    assert estimate.low <= real_bytes(recipe, tmp_path / "model.bin", 0.05) <= estimate.high


def test_a_percentile_clip_is_within_its_wider_interval(tmp_path: Path) -> None:
    recipe = recipe_of(
        "baseline", "recipe.quantizer.scale_floor={default: 0}", "recipe.model.topology.layers=1", overlay="tiny"
    )
    estimate = estimate_model_bytes(recipe)
    assert estimate.low <= real_bytes(recipe, tmp_path / "model.bin", 0.05) <= estimate.high


def test_bytes_do_not_depend_on_the_scale_of_the_weights(tmp_path: Path) -> None:
    recipe = recipe_of("quickstart", overlay="micro")
    small, large = (real_bytes(recipe, tmp_path / f"{deviation}", deviation) for deviation in (0.01, 1.0))
    assert small == pytest.approx(large, rel=0.01)


LARGE = ("recipe.model.width=512", "recipe.model.topology.layers=9")
PERCENTILE = "recipe.quantizer.clip={kind: percentile, percentile: 99.9}"


@pytest.mark.parametrize(
    ("assignments", "below", "above", "reason"),
    [
        ((), 0.015, 0.015, "calibrated"),
        (("recipe.codec={kind: zlib}",), 0.05, 0.05, "zlib"),
        (("recipe.quantizer.scale_floor={default: 0.01}",), 0.30, 0.20, "scale floor"),
        ((PERCENTILE,), 0.10, 0.10, "percentile"),
    ],
)
def test_the_width_of_the_interval_depends_on_its_reason(
    assignments: tuple[str, ...], below: float, above: float, reason: str
) -> None:
    found = estimate_model_bytes(recipe_of("quickstart", *LARGE, *assignments))
    assert found.high / found.estimate == pytest.approx(1 + above, abs=1e-4)
    assert found.low / found.estimate == pytest.approx(1 - below, abs=1e-4)
    assert reason in found.basis


@pytest.mark.parametrize(("steps", "below", "above"), [(600, 0.12, 0.05), (12, 0.35, 0.05)])
def test_the_interval_of_small_models_reaches_further_down(steps: int, below: float, above: float) -> None:
    found = estimate_model_bytes(recipe_of("quickstart", f"recipe.budget.train={steps}"))
    assert found.high / found.estimate == pytest.approx(1 + above, abs=1e-4)
    assert found.low / found.estimate == pytest.approx(1 - below, abs=1e-4)


def test_fewer_bits_and_larger_clips_cost_fewer_bytes() -> None:
    sizes = [
        estimate_model_bytes(recipe_of("quickstart", f"recipe.quantizer.bits.default={bits}")).estimate
        for bits in (4, 5, 6, 7, 8)
    ]
    assert sizes == sorted(set(sizes))
    clips = [
        estimate_model_bytes(recipe_of("quickstart", f"recipe.quantizer.clip.k.default={k}")).estimate
        for k in (20, 15, 12.85, 9)
    ]
    assert clips == sorted(set(clips))


# Smallest and largest model bytes over the seeds of a pull request, from its logs.
PUBLISHED_BYTES = {
    "pr549_leaky_ttt": (15_787_052, 15_900_548),
    "pr576_int5_gptq": (15_220_554, 15_809_725),
    "pr861_int5_qat_unet": (16_265_723, 16_361_752),
    "pr927_recursive": (15_749_104, 15_778_257),
    "pr1535_crawler_loop_aware": (15_777_068, 15_835_609),
    "pr1579_crawler_d736": (14_930_293, 14_984_356),
    "pr1817_crawler_d832": (14_622_509, 15_867_420),
}


@pytest.mark.parametrize("name", PUBLISHED_BYTES)
def test_the_real_bytes_of_published_runs_are_within_the_interval(name: str) -> None:
    least, most = PUBLISHED_BYTES[name]
    found = estimate_model_bytes(recipe_of(name))
    assert found.low <= least <= most <= found.high
    assert 0.85 < found.estimate / ((least + most) / 2) < 1.10


def test_pruning_to_fit_caps_the_estimate() -> None:
    plain, cut = (
        estimate_model_bytes(recipe_of("quickstart", f"recipe.quantizer.fit_bytes={limit}")) for limit in (0, 300_000)
    )
    assert plain.estimate > 300_000
    assert (cut.estimate, cut.high) == (300_000, 300_000)
    assert "at most 300,000" in cut.basis


def test_filling_fixes_the_size_to_the_slack() -> None:
    steps = "recipe.quantizer.steps={kind: fisher}"
    unknown = estimate_model_bytes(recipe_of("quickstart", steps))
    assert unknown.high - unknown.low > 0.15 * unknown.estimate
    recipe = recipe_of("english", steps, "recipe.quantizer.fill_bytes=1000000")
    found = filled_model_bytes(recipe, code_bytes=30_000)
    assert found is not None
    assert (found.low, found.estimate, found.high) == (968_000, 969_000, 970_000)
    assert filled_model_bytes(recipe_of("quickstart"), code_bytes=30_000) is None
    for wanted in (20_000, 15_900_000):  # less than the code, more than 788,752 weights can take
        recipe = recipe_of("quickstart", steps, f"recipe.quantizer.fill_bytes={wanted}")
        assert filled_model_bytes(recipe, code_bytes=30_000) is None
        assert rules.filled_bytes(recipe, 30_000).severity == "warn"
    assert rules.filled_bytes(recipe_of("quickstart", "recipe.quantizer.fill_bytes=400000"), 30_000).severity == "pass"


def test_a_residual_costs_its_low_rank_factors() -> None:
    plain, with_residual = (
        estimate_model_bytes(recipe_of("quickstart", f"recipe.quantizer.residual={residual}"))
        for residual in ("null", "{tensors: 1, rank: 4, bits: 4}")
    )
    assert with_residual.estimate - plain.estimate == pytest.approx(4 * (1024 + 128) / 2, abs=1)
