"""model.bin: artifacts survive a round trip, and damaged or hostile ones are refused."""

import hashlib
import json
import random
import struct
import tracemalloc
import zlib
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import brotli
import numpy as np
import pytest
import torch

from pgolf.specs.loading import load_spec
from tests.trainer.small import awake_model, random_tokens, small_recipe
from trainer.codec.compressor import make_compressor
from trainer.codec.container import ModelCard, decode_artifact, encode_artifact, read_card
from trainer.quantizer.calibration import calibrate
from trainer.quantizer.column_steps import ColumnMatrix
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.quantizer import quantize_model
from trainer.recipe.recipe import Recipe
from trainer.runtime.failure import ArtifactRefused

CODECS = [
    "{kind: brotli, quality: 5}",
    "{kind: zlib}",
    "{kind: lzma}",
    "{kind: zstd, level: 3}",
    "{kind: column_range}",
]
FISHER: dict[str, object] = {"quantizer__steps": "{kind: fisher}", "quantizer__float_up_to": 0}
GRID = "bits: {default: 5}, clip: {kind: deviations, k: {default: 12}}, calibration: {kind: training}, float_up_to: 0"
TRELLIS: dict[str, object] = {"quantizer": f"{{kind: trellis_gptq, {GRID}, steps: {{kind: fisher}}}}"}
# Codecs with the quantizers whose codes they write in different ways.
FORMS: list[tuple[str, dict[str, object]]] = [
    *((codec, {}) for codec in CODECS),
    *((codec, quantizer) for codec in (CODECS[0], CODECS[-1]) for quantizer in (FISHER, TRELLIS)),
    (CODECS[-1], TRELLIS | {"quantizer__residual": "{tensors: 2, rank: 3}"}),
]


def card_of(recipe: Recipe) -> ModelCard:
    return ModelCard(
        model=recipe.model,
        vocabulary_size=recipe.vocabulary_size,
        quantizer=recipe.quantizer,
        evaluation=recipe.evaluation,
    )


def written(path: Path, **changes: object) -> tuple[ModelCard, dict[str, torch.Tensor], dict[str, int]]:
    """Write an artifact; return its card, its dequantized weights and its stream sizes."""
    recipe = small_recipe(**changes)
    card = card_of(recipe)
    model = awake_model(recipe)
    measured = calibrate(recipe.quantizer, card.tensors(), model, lambda _: [random_tokens(1, 24)], lambda: None)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    quantized = quantize_model(recipe.quantizer, card.tensors(), weights, measured)
    sizes = encode_artifact(path, card, quantized, recipe.codec)
    return card, quantized.dequantize(), sizes


@pytest.mark.parametrize(("codec", "quantizer"), FORMS)
@pytest.mark.parametrize("float_type", ["float16", "float32"])
def test_every_tensor_and_the_card_come_back(
    tmp_path: Path, codec: str, quantizer: dict[str, object], float_type: str
) -> None:
    path = tmp_path / "model.bin"
    card, weights, sizes = written(path, codec=codec, **quantizer, quantizer__float_type=float_type)
    card_back, weights_back = decode_artifact(path)
    assert replace(card_back, residuals=()) == card
    assert weights.keys() == weights_back.keys() == {tensor.name for tensor in card.tensors()}
    assert all(torch.equal(weights[name], weights_back[name]) for name in weights)
    assert sum(sizes.values()) == path.stat().st_size


def test_the_bytes_are_laid_out_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    card, _, _ = written(path)
    content = path.read_bytes()
    assert content[:8] == b"PGOLFv1\n"
    codec, *lengths = struct.unpack("<B4I", content[40:57])
    assert codec == 1
    starts = np.cumsum([57, *lengths])
    header, codes, steps, floats = (brotli.decompress(content[a:b]) for a, b in pairwise(starts))
    assert json.loads(header)["vocabulary_size"] == 384
    matrices = [tensor for tensor in card.tensors() if tensor.group != "control"]
    others = [tensor for tensor in card.tensors() if tensor.group == "control"]
    assert len(codes) == sum(tensor.size for tensor in matrices)
    assert len(steps) == 2 * sum(tensor.shape[0] for tensor in matrices)
    assert len(floats) == 2 * sum(tensor.size for tensor in others)
    first = matrices[0]
    checksum = zlib.crc32(codes[: first.size] + steps[: 2 * first.shape[0]])
    assert struct.unpack_from("<I", content, starts[-1])[0] == checksum
    assert len(content) == starts[-1] + 4 * len(card.tensors())


def test_a_flipped_bit_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    written(path)
    content = path.read_bytes()
    chooser = random.Random(0)
    positions = [*range(64), *(chooser.randrange(len(content)) for _ in range(300)), len(content) - 1]
    for position in positions:
        flipped = bytearray(content)
        flipped[position] ^= 1 << chooser.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(ArtifactRefused):
            decode_artifact(path)


@pytest.mark.parametrize("keep", [0, 7, 39, 60, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "model.bin"
    written(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactRefused):
        decode_artifact(path)


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    written(tmp_path / "a.bin")
    written(tmp_path / "b.bin")
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_a_tensor_that_does_not_match_its_checksum_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    card, _, _ = written(path)
    body = bytearray(path.read_bytes()[40:])
    body[-4 * len(card.tensors())] ^= 1  # the first checksum; the hash is made to match
    path.write_bytes(b"PGOLFv1\n" + hashlib.sha256(body).digest() + body)
    with pytest.raises(ArtifactRefused, match=r"embedding\.tokens does not match its checksum"):
        decode_artifact(path)


@pytest.mark.parametrize("count", [60, pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("codec", "quantizer"), FORMS)
def test_mutations_with_a_matching_hash_are_refused_or_change_nothing(
    tmp_path: Path, codec: str, quantizer: dict[str, object], count: int
) -> None:
    """A hostile file: the hash is right, everything else may be wrong."""
    path = tmp_path / "model.bin"
    _, weights, _ = written(path, codec=codec, **quantizer)
    body, chooser = path.read_bytes()[40:], random.Random(codec)
    refused = 0
    for _ in range(count):
        mutated = mutation(body, chooser)
        path.write_bytes(b"PGOLFv1\n" + hashlib.sha256(mutated).digest() + mutated)
        try:
            _, weights_back = decode_artifact(path)
        except ArtifactRefused as refusal:
            assert str(path) in str(refusal)
            refused += 1
        else:
            assert weights_back.keys() == weights.keys()
            assert all(torch.equal(weights[name], weights_back[name]) for name in weights), "another score"
    assert refused > 0.9 * count


def mutation(body: bytes, chooser: random.Random) -> bytes:
    """Return the body with a bit flipped or bytes removed, doubled or overwritten, more often near the front."""
    start = int(len(body) * chooser.random() ** 3)
    length = chooser.choice([1, 1, 2, 4, 64])
    match chooser.randrange(4):
        case 0:
            changed = bytes([body[start] ^ 1 << chooser.randrange(8)])
            return body[:start] + changed + body[start + 1 :]
        case 1:
            return body[:start] + body[start + length :]
        case 2:
            return body[:start] + body[start : start + length] + body[start:]
        case _:
            return body[:start] + chooser.randbytes(length) + body[start + length :]


@pytest.mark.parametrize("codec", CODECS)
def test_decompression_bombs_are_refused_in_bounded_memory(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "model.bin"
    written(path, codec=codec)
    body = bytearray(path.read_bytes()[40:])
    kind = make_compressor(load_spec("quickstart", [], [f"recipe.codec={codec}"]).spec.recipe.codec)
    bomb = kind.compress(bytes(25_000_000))
    number, header, codes, steps, floats = struct.unpack_from("<B4I", body)
    begin = 17 + header + codes
    forged = struct.pack("<B4I", number, header, codes, len(bomb), floats)
    forged += bytes(body[17:begin]) + bomb + bytes(body[begin + steps :])
    path.write_bytes(b"PGOLFv1\n" + hashlib.sha256(forged).digest() + forged)
    tracemalloc.start()
    with pytest.raises(ArtifactRefused, match=r"more than|bytes of steps"):
        decode_artifact(path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_card_of_a_trillion_parameters_is_refused(tmp_path: Path) -> None:
    card, _, _ = written(tmp_path / "model.bin")
    header = json.dumps(asdict(replace(card, vocabulary_size=10**10))).encode()
    with pytest.raises(ValueError, match="parameters, at most"):
        read_card(header)


@pytest.mark.parametrize("codec", CODECS)
def test_a_model_without_quantized_tensors_survives_a_round_trip(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "model.bin"
    _, weights, _ = written(path, codec=codec, quantizer__float_up_to=10_000_000)
    _, weights_back = decode_artifact(path)
    assert all(torch.equal(weights[name], weights_back[name]) for name in weights)


@pytest.mark.parametrize(("exponent", "step"), [(65, -1.0), (5000, -1.0), (-20_000, -1.0), (0, 1.0), (0, float("nan"))])
def test_column_steps_that_nobody_writes_are_refused(tmp_path: Path, exponent: int, step: float) -> None:
    """With checksums and hash of their own: only their values are wrong."""
    recipe = small_recipe(codec=CODECS[-1], **TRELLIS)
    card, model = card_of(recipe), awake_model(recipe)
    measured = calibrate(recipe.quantizer, card.tensors(), model, lambda _: [random_tokens(1, 24)], lambda: None)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    quantized = quantize_model(recipe.quantizer, card.tensors(), weights, measured)
    name, found = next((name, m) for name, m in quantized.matrices.items() if isinstance(m, ColumnMatrix))
    codes_1C = found.exponents.codes_RC.clone()
    codes_1C[0, 3] = exponent
    row = QuantizedMatrix(codes_1C, torch.tensor([step]).half())
    quantized.matrices[name] = replace(found, exponents=row)
    encode_artifact(tmp_path / "model.bin", card, quantized, recipe.codec)
    with pytest.raises(ArtifactRefused, match="column steps are not within 16 octaves"):
        decode_artifact(tmp_path / "model.bin")
