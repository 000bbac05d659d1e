"""model.bin: sealed bytes, no pickle.

    8   magic "PGOLFv1" and a newline
    32  SHA-256 of everything after it
    1   codec: 0 zlib, 1 brotli, 2 lzma
    16  compressed lengths of four streams, uint32 little-endian
        header   JSON: the card, from which the inventory of tensors follows
        codes    int8, matrices in the inventory's order, row by row, each followed by its residual's two factors
        steps    float16, one a row, in the same order
        floats   float16 or float32, the other tensors, in the inventory's order
    4n  CRC-32 of each tensor as it goes into the streams, uint32 little-endian

The hash says that the file is the one that was written; the CRCs say that this machine's codec library has read it
back.
"""

import hashlib
import json
import struct
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.codec.compressor import make_compressor
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.quantizer import QuantizedModel
from trainer.recipe.codec import Brotli, CodecRecipe, Lzma, Zlib
from trainer.recipe.decode import RecipeRefused, decode_value
from trainer.recipe.evaluation import EvaluationRecipe
from trainer.recipe.files import write_whole
from trainer.recipe.inventory import TensorSpec, inventory
from trainer.recipe.model import Gpt
from trainer.recipe.quantizer import QuantizerRecipe, is_quantized
from trainer.runtime.failure import ArtifactRefused

ARTIFACT_MAGIC = b"PGOLFv1\n"
STREAMS = ("header", "codes", "steps", "floats")
LENGTHS = struct.Struct(f"<B{len(STREAMS)}I")
DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """What an artifact says about itself: enough to build the model and to score it."""

    model: Gpt
    vocabulary_size: int
    quantizer: QuantizerRecipe
    evaluation: EvaluationRecipe
    residuals: tuple[str, ...] = ()
    """The matrices that are stored with what rounding lost of them."""

    def tensors(self) -> tuple[TensorSpec, ...]:
        """The inventory of the model."""
        return inventory(self.model, self.vocabulary_size)


def encode_artifact(path: Path, card: ModelCard, model: QuantizedModel, codec: CodecRecipe) -> dict[str, int]:
    """Bytes of each stream, once `path` holds the artifact."""
    streams, checksums = compressed_streams(card, model, codec)
    lengths = LENGTHS.pack(codec_number(codec), *(len(stream) for stream in streams.values()))
    body = lengths + b"".join(streams.values()) + struct.pack(f"<{len(checksums)}I", *checksums)
    write_whole(path, ARTIFACT_MAGIC + hashlib.sha256(body).digest() + body)
    return {name: len(stream) for name, stream in streams.items()} | {"container": container_bytes(checksums)}


def encoded_bytes(card: ModelCard, model: QuantizedModel, codec: CodecRecipe) -> int:
    """How many bytes an artifact would have."""
    streams, checksums = compressed_streams(card, model, codec)
    return sum(map(len, streams.values())) + container_bytes(checksums)


def container_bytes(checksums: list[int]) -> int:
    """What an artifact holds besides its streams."""
    return len(ARTIFACT_MAGIC) + DIGEST_BYTES + LENGTHS.size + 4 * len(checksums)


def compressed_streams(
    card: ModelCard, model: QuantizedModel, codec: CodecRecipe
) -> tuple[dict[str, bytes], list[int]]:
    """The streams by name, and the checksum of each tensor."""
    pieces: dict[str, list[bytes]] = {stream: [] for stream in STREAMS}
    residuals = tuple(name for name, matrix in model.matrices.items() if matrix.residual is not None)
    header = asdict(replace(card, residuals=residuals))
    pieces["header"].append(json.dumps(header, separators=(",", ":")).encode())
    checksums = []
    for tensor in card.tensors():
        if is_quantized(card.quantizer, tensor):
            parts = model.matrices[tensor.name].parts()
            codes = b"".join(raw_bytes(part.codes_RC) for part in parts)
            steps = b"".join(raw_bytes(part.steps_R) for part in parts)
            pieces["codes"].append(codes)
            pieces["steps"].append(steps)
            checksums.append(zlib.crc32(codes + steps))
        else:
            pieces["floats"].append(raw_bytes(model.floats[tensor.name]))
            checksums.append(zlib.crc32(pieces["floats"][-1]))
    compressor = make_compressor(codec)
    return {name: compressor.compress(b"".join(parts)) for name, parts in pieces.items()}, checksums


def decode_artifact(path: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    """The card and every tensor of an artifact, float32.

    Raises: ArtifactRefused when a byte is not what was written.
    """
    body = unseal(path)
    number, *lengths = LENGTHS.unpack_from(body)
    compressor = make_compressor(codec_of(number))
    streams, position = {}, LENGTHS.size
    for name, length in zip(STREAMS, lengths, strict=True):
        streams[name] = compressor.decompress(body[position : position + length])
        position += length
    card = read_card(streams["header"])
    tensors = card.tensors()
    checksums = struct.unpack_from(f"<{len(tensors)}I", body, position)
    model = QuantizedModel({}, {})
    cursor = StreamCursor(streams, card.residuals)
    for tensor, checksum in zip(tensors, checksums, strict=True):
        if cursor.take(card.quantizer, tensor, model) != checksum:
            raise ArtifactRefused(f"{path}: {tensor.name} does not match its checksum")
    cursor.check_exhausted(path)
    return card, model.dequantize()


def unseal(path: Path) -> bytes:
    """The bytes behind magic and hash.

    Raises: ArtifactRefused when they are not the bytes that were hashed.
    """
    content = path.read_bytes()
    start = len(ARTIFACT_MAGIC) + DIGEST_BYTES
    if content[: len(ARTIFACT_MAGIC)] != ARTIFACT_MAGIC:
        raise ArtifactRefused(f"{path} is not a pgolf artifact of version 1: it begins with {content[:8]!r}")
    body = content[start:]
    if hashlib.sha256(body).digest() != content[len(ARTIFACT_MAGIC) : start]:
        raise ArtifactRefused(
            f"{path} is damaged: its {len(body):,} bytes do not have the SHA-256 they were sealed with"
        )
    return body


def read_card(header: bytes) -> ModelCard:
    """The card of a decompressed header."""
    try:
        card: ModelCard = decode_value(ModelCard, json.loads(header), "header")
    except (ValueError, RecipeRefused) as error:
        raise ArtifactRefused(f"the artifact's header is not readable: {error}") from error
    return card


class StreamCursor:
    """Takes tensors off the decompressed streams, front to back."""

    def __init__(self, streams: dict[str, bytes], residuals: tuple[str, ...]) -> None:
        self.streams, self.residuals = streams, residuals
        self.positions = dict.fromkeys(streams, 0)
        self.positions["header"] = len(streams["header"])

    def take(self, quantizer: QuantizerRecipe, tensor: TensorSpec, model: QuantizedModel) -> int:
        """The CRC-32 of the next tensor, which is in `model` afterwards."""
        if is_quantized(quantizer, tensor):
            shapes = [tensor.shape, *self.residual_shapes(quantizer, tensor)]
            codes = [self.array("codes", np.dtype("<i1"), shape) for shape in shapes]
            steps = [self.array("steps", np.dtype("<f2"), shape[:1]) for shape in shapes]
            matrix, *factors = (QuantizedMatrix(c, s) for (c, _), (s, _) in zip(codes, steps, strict=True))
            model.matrices[tensor.name] = replace(matrix, residual=(factors[0], factors[1])) if factors else matrix
            return zlib.crc32(b"".join(raw for _, raw in (*codes, *steps)))
        kind = np.dtype("<f2" if quantizer.float_type == "float16" else "<f4")
        model.floats[tensor.name], raw = self.array("floats", kind, tensor.shape)
        return zlib.crc32(raw)

    def residual_shapes(self, quantizer: QuantizerRecipe, tensor: TensorSpec) -> list[tuple[int, int]]:
        """The shapes of the two factors of a tensor's residual, where it has one."""
        if quantizer.residual is None or tensor.name not in self.residuals:
            return []
        rows, columns = tensor.shape
        rank = min(quantizer.residual.rank, rows, columns)
        return [(rank, rows), (rank, columns)]

    def array(self, stream: str, kind: "np.dtype[Any]", shape: tuple[int, ...]) -> tuple[Tensor, bytes]:
        """The next array of a stream and its raw bytes."""
        size = int(np.prod(shape)) * kind.itemsize
        start = self.positions[stream]
        raw = self.streams[stream][start : start + size]
        if len(raw) != size:
            raise ArtifactRefused(f"the {stream} stream ends {size - len(raw):,} bytes early")
        self.positions[stream] = start + size
        return torch.from_numpy(np.frombuffer(raw, dtype=kind).reshape(shape).copy()), raw

    def check_exhausted(self, path: Path) -> None:
        for name, stream in self.streams.items():
            if self.positions[name] != len(stream):
                raise ArtifactRefused(f"{path}: {len(stream) - self.positions[name]:,} bytes too many in {name}")


def raw_bytes(tensor: Tensor) -> bytes:
    """Little-endian bytes of a tensor, row by row."""
    return bytes(tensor.contiguous().numpy().tobytes())


def codec_number(codec: CodecRecipe) -> int:
    """The byte that names a codec."""
    match codec:
        case Zlib():
            return 0
        case Brotli():
            return 1
        case Lzma():
            return 2


def codec_of(number: int) -> CodecRecipe:
    """The codec that a byte names; its effort does not matter for reading.

    Raises: ArtifactRefused for a byte that names none.
    """
    match number:
        case 0:
            return Zlib(kind="zlib")
        case 1:
            return Brotli(kind="brotli")
        case 2:
            return Lzma(kind="lzma")
    raise ArtifactRefused(f"codec {number} is not known to this version")
