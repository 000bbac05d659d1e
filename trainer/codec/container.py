"""The format of model.bin: checksummed bytes, no pickle.

    8   magic "PGOLFv1" and a newline
    32  SHA-256 of everything after it
    1   codec: 0 zlib, 1 brotli, 2 lzma, 3 zstd, 4 column_range
    16  compressed lengths of four streams, uint32 little-endian
        header   JSON: the model card, from which the inventory of tensors is computed
        codes    int8, matrices in inventory order, each followed by the two factors of its residual and by the
                 exponents of its column steps, if it has them: row by row
                 through the codec, or for column_range as docs/artifact.md describes
        steps    float16, one per row, in the same order
        floats   float16 or float32, the other tensors, in inventory order
    4n  CRC-32 of each tensor before compression, uint32 little-endian

The hash shows that the file is unchanged since it was written; the CRCs show that this machine's codec library decodes
it correctly. Neither makes a file from elsewhere trustworthy: no stream is decompressed beyond the size that its card
implies.
"""

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from trainer.codec.compressor import Codes, Shape, Steps, make_compressor, make_matrix_coder
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.quantizer import QuantizedModel
from trainer.recipe.codec import CodecRecipe
from trainer.recipe.compute import Compute
from trainer.recipe.decode import RecipeRefused, decode_value, kind_of
from trainer.recipe.encode import encode_given
from trainer.recipe.evaluation import EvaluationRecipe
from trainer.recipe.inventory import TensorSpec, inventory
from trainer.recipe.model import Gpt
from trainer.recipe.quantizer import FisherSteps, LowRankResidual, QuantizerRecipe, TrellisGptq, is_quantized
from trainer.recipe.writing import write_whole
from trainer.runtime.failure import ArtifactRefused

ARTIFACT_MAGIC = b"PGOLFv1\n"
STREAMS = ("header", "codes", "steps", "floats")
LENGTHS = struct.Struct(f"<B{len(STREAMS)}I")
DIGEST_BYTES = 32
# Limits for reading: a longer header, or a card with more parameters, is rejected before anything is allocated.
MAX_HEADER_BYTES, MAX_PARAMETERS = 1 << 20, 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """The header of an artifact: what is needed to build the model and score it."""

    model: Gpt
    vocabulary_size: int
    quantizer: QuantizerRecipe
    evaluation: EvaluationRecipe
    compute: Compute = Compute()
    residuals: tuple[str, ...] = ()
    """Names of the matrices that are stored with a low-rank residual."""

    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return the inventory of the model."""
        return inventory(self.model, self.vocabulary_size)


def encode_artifact(path: Path, card: ModelCard, model: QuantizedModel, codec: CodecRecipe) -> dict[str, int]:
    """Write the artifact to `path` and return the bytes of each stream and of the container."""
    streams, checksums = compress_streams(card, model, codec)
    lengths = LENGTHS.pack(codec.number, *(len(stream) for stream in streams.values()))
    body = lengths + b"".join(streams.values()) + struct.pack(f"<{len(checksums)}I", *checksums)
    write_whole(path, ARTIFACT_MAGIC + hashlib.sha256(body).digest() + body)
    return {name: len(stream) for name, stream in streams.items()} | {"container": container_bytes(checksums)}


def encoded_bytes(card: ModelCard, model: QuantizedModel, codec: CodecRecipe) -> int:
    """Return the size of the artifact in bytes without writing it."""
    streams, checksums = compress_streams(card, model, codec)
    return sum(map(len, streams.values())) + container_bytes(checksums)


def container_bytes(checksums: list[int]) -> int:
    """Return the bytes of an artifact outside its streams."""
    return len(ARTIFACT_MAGIC) + DIGEST_BYTES + LENGTHS.size + 4 * len(checksums)


def compress_streams(card: ModelCard, model: QuantizedModel, codec: CodecRecipe) -> tuple[dict[str, bytes], list[int]]:
    """Return the compressed streams by name, and the checksum of each tensor."""
    matrices: list[Codes] = []
    steps: list[Steps] = []
    floats, checksums = [], []
    for tensor in card.tensors():
        if is_quantized(card.quantizer, tensor):
            parts = model.matrices[tensor.name].parts()
            matrices += [part.codes_RC.numpy() for part in parts]
            steps += [part.steps_R.numpy() for part in parts]
            raw = [raw_bytes(values) for values in (*(p.codes_RC for p in parts), *(p.steps_R for p in parts))]
            checksums.append(zlib.crc32(b"".join(raw)))
        else:
            floats.append(raw_bytes(model.floats[tensor.name]))
            checksums.append(zlib.crc32(floats[-1]))
    residuals = tuple(name for name, matrix in model.matrices.items() if matrix.residual is not None)
    header = card_json(replace(card, residuals=residuals))
    compressor = make_compressor(codec)
    return {
        "header": compressor.compress(header),
        "codes": make_matrix_coder(codec, card.quantizer).encode(matrices, steps),
        "steps": compressor.compress(b"".join(values.tobytes() for values in steps)),
        "floats": compressor.compress(b"".join(floats)),
    }, checksums


def card_json(card: ModelCard) -> bytes:
    """Return a card as compact JSON, without values that equal their defaults."""
    return json.dumps(encode_given(card), separators=(",", ":")).encode()


def decode_artifact(path: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    """Return the card and every tensor of an artifact, dequantized to float32.

    Raises:
        ArtifactRefused: the file is not a valid artifact, or is damaged.
    """
    card, model = decode_model(path)
    return card, model.dequantize()


def decode_model(path: Path) -> tuple[ModelCard, QuantizedModel]:
    """Return the card and the quantized model of an artifact.

    Raises:
        ArtifactRefused: the file is not a valid artifact, or is damaged.
    """
    try:
        number, streams, rest = split_streams(unseal(path))
        codec = find_codec(number)
        card = read_card(decompress_header(streams, codec))
        return card, decode_streams(card, codec, streams, rest)
    except ValueError as error:
        raise ArtifactRefused(f"{path}: {error}") from error


def decode_known_artifact(path: Path, expected: ModelCard, codec: CodecRecipe) -> tuple[ModelCard, dict[str, Tensor]]:
    """Return card and tensors of an artifact of a known model.

    Its header must be that of the model, except for clips, which may have been widened to fit, and for what this
    function takes from it: the attention kernel and the names of the residuals.

    Raises:
        ArtifactRefused: the file is not a valid artifact, is damaged, or holds another model.
    """
    try:
        number, streams, rest = split_streams(unseal(path))
        header = json.loads(decompress_header(streams, codec)) if number == codec.number else {}
        attention = header.get("compute", {}).get("attention", Compute().attention)
        card = replace(
            expected,
            residuals=tuple(header.get("residuals", ())),
            compute=replace(expected.compute, attention=attention),
        )
        if without_clip(header) != without_clip(json.loads(card_json(card))):
            raise ValueError("it holds the model of another recipe")
        return card, decode_streams(card, codec, streams, rest).dequantize()
    except ValueError as error:
        raise ArtifactRefused(f"{path}: {error}") from error


def without_clip(card: dict[str, Any]) -> dict[str, Any]:
    """Return a card's JSON without the clip, which an artifact that exceeded the limit has wider than its recipe."""
    return card | {"quantizer": card.get("quantizer", {}) | {"clip": None}}


def decompress_header(streams: dict[str, bytes], codec: CodecRecipe) -> bytes:
    """Return the JSON of the card."""
    return make_compressor(codec).decompress(streams["header"], MAX_HEADER_BYTES)


def decode_streams(card: ModelCard, codec: CodecRecipe, streams: dict[str, bytes], checksums: bytes) -> QuantizedModel:
    """Return the quantized model in an artifact's streams.

    Raises:
        ValueError: a stream is damaged.
    """
    layout, compressor = Layout(card), make_compressor(codec)
    steps = compressor.decompress(streams["steps"], layout.step_bytes)
    floats = compressor.decompress(streams["floats"], layout.float_bytes)
    layout.check_sizes(steps, floats, checksums)
    of_rows = layout.split_steps(steps)
    matrices = make_matrix_coder(codec, card.quantizer).decode(streams["codes"], layout.shapes, of_rows)
    return layout.assemble(matrices, of_rows, floats, checksums)


def split_streams(body: bytes) -> tuple[int, dict[str, bytes], bytes]:
    """Return the number of the codec, the compressed streams and the checksums.

    Raises:
        ValueError: the body is shorter than its stream lengths say.
    """
    if len(body) < LENGTHS.size:
        raise ValueError("it ends before its stream lengths")
    number, *lengths = LENGTHS.unpack_from(body)
    streams, position = {}, LENGTHS.size
    for name, length in zip(STREAMS, lengths, strict=True):
        streams[name] = body[position : position + length]
        position += length
    if position > len(body):
        raise ValueError(f"its last {position - len(body):,} bytes are missing")
    return number, streams, body[position:]


def unseal(path: Path) -> bytes:
    """Return the bytes after magic and hash.

    Raises:
        ArtifactRefused: the magic is not that of an artifact, or the bytes do not match the hash.
    """
    content = path.read_bytes()
    start = len(ARTIFACT_MAGIC) + DIGEST_BYTES
    if content[: len(ARTIFACT_MAGIC)] != ARTIFACT_MAGIC:
        raise ArtifactRefused(f"{path} is not a pgolf artifact of version 1: it begins with {content[:8]!r}")
    body = content[start:]
    if hashlib.sha256(body).digest() != content[len(ARTIFACT_MAGIC) : start]:
        raise ArtifactRefused(
            f"{path} is damaged: its {len(body):,} bytes do not match the SHA-256 that it begins with"
        )
    return body


def read_card(header: bytes) -> ModelCard:
    """Return the card in a decompressed header.

    Raises:
        ValueError: the header is not a card, or describes a model that cannot be built.
    """
    try:
        card: ModelCard = decode_value(ModelCard, json.loads(header), "header")
        parameters = sum(tensor.size for tensor in card.tensors())
    except (ValueError, RecipeRefused, RecursionError, ArithmeticError, LookupError) as error:
        raise ValueError(f"unreadable header: {error}") from error
    if parameters > MAX_PARAMETERS:
        raise ValueError(f"its header describes {parameters:,} parameters, at most {MAX_PARAMETERS:,} are allowed")
    return card


class Layout:
    """The shapes and stream sizes that a card implies."""

    def __init__(self, card: ModelCard) -> None:
        self.quantizer, self.residuals = card.quantizer, card.residuals
        self.tensors = card.tensors()
        self.float_kind = np.dtype("<f2" if self.quantizer.float_type == "float16" else "<f4")
        match self.quantizer.steps:
            case FisherSteps():
                from trainer.quantizer.column_steps import names_with_columns

                self.with_columns = names_with_columns(self.quantizer, self.tensors)
        self.shapes = [shape for tensor in self.tensors for shape in self.shapes_of(tensor)]
        self.step_bytes = 2 * sum(rows for rows, _ in self.shapes)
        others = [tensor.size for tensor in self.tensors if not is_quantized(self.quantizer, tensor)]
        self.float_bytes = self.float_kind.itemsize * sum(others)

    def split_steps(self, steps: bytes) -> list[Steps]:
        """Return the steps of each matrix."""
        cursor = Cursor(steps)
        return [cursor.take(np.dtype("<f2"), shape[:1]) for shape in self.shapes]

    def check_sizes(self, steps: bytes, floats: bytes, checksums: bytes) -> None:
        """Check that the streams have the sizes that the card implies.

        Raises:
            ValueError: one has not.
        """
        expected = {"steps": self.step_bytes, "floats": self.float_bytes, "checksums": 4 * len(self.tensors)}
        for (name, size), found in zip(expected.items(), (steps, floats, checksums), strict=True):
            if len(found) != size:
                raise ValueError(f"{len(found):,} bytes of {name}, expected {size:,}")

    def shapes_of(self, tensor: TensorSpec) -> list[Shape]:
        """Return the shapes of the matrices that are stored for a tensor; none for a float tensor."""
        if not is_quantized(self.quantizer, tensor):
            return []
        rows, columns = tensor.shape
        shapes = [(rows, columns)]
        if isinstance(self.quantizer.residual, LowRankResidual) and tensor.name in self.residuals:
            rank = min(self.quantizer.residual.rank, rows, columns)
            shapes += [(rank, rows), (rank, columns)]
        match self.quantizer.steps:
            case FisherSteps():
                shapes += [(1, columns)] if tensor.name in self.with_columns else []
        return shapes

    def assemble(self, matrices: list[Codes], steps: list[Steps], floats: bytes, checksums: bytes) -> QuantizedModel:
        """Return the model made of the decoded streams.

        Raises:
            ValueError: a tensor does not match its checksum.
        """
        codes, scales, others = iter(matrices), iter(steps), Cursor(floats)
        model = QuantizedModel({}, {})
        for tensor, checksum in zip(self.tensors, struct.unpack(f"<{len(self.tensors)}I", checksums), strict=True):
            parts = [(next(codes), next(scales)) for _ in self.shapes_of(tensor)]
            if parts:
                raw = b"".join(part.tobytes() for column in zip(*parts, strict=True) for part in column)
                matrix, *factors = (QuantizedMatrix(copy_tensor(c), copy_tensor(s)) for c, s in parts)
                if isinstance(self.quantizer.residual, LowRankResidual) and tensor.name in self.residuals:
                    matrix = replace(matrix, residual=(factors[0], factors[1]))
                match self.quantizer:
                    case TrellisGptq():
                        from trainer.quantizer.trellis_grid import TrellisMatrix

                        matrix = TrellisMatrix(matrix.codes_RC, matrix.steps_R, matrix.residual, self.quantizer.states)
                match self.quantizer.steps:
                    case FisherSteps():
                        from trainer.quantizer.column_steps import with_exponents

                        matrix = with_exponents(matrix, factors[-1] if tensor.name in self.with_columns else None)
                model.matrices[tensor.name] = matrix
            else:
                values = others.take(self.float_kind, tensor.shape)
                raw = values.tobytes()
                model.floats[tensor.name] = copy_tensor(values)
            if zlib.crc32(raw) != checksum:
                raise ValueError(f"{tensor.name} does not match its checksum")
        return model


class Cursor:
    """A position in a stream from which arrays are read one after another."""

    def __init__(self, stream: bytes) -> None:
        self.stream, self.position = stream, 0

    def take(self, kind: "np.dtype[Any]", shape: tuple[int, ...]) -> "np.ndarray[Any, Any]":
        """Return the next array of the stream."""
        size = int(np.prod(shape))
        array = np.frombuffer(self.stream, kind, size, self.position).reshape(shape)
        self.position += array.nbytes
        return array


def copy_tensor(array: "np.ndarray[Any, Any]") -> Tensor:
    """Return a copy of the array as a tensor."""
    return torch.from_numpy(array.copy())


def raw_bytes(tensor: Tensor) -> bytes:
    """Return the bytes of a tensor, little-endian, row by row."""
    return bytes(tensor.contiguous().numpy().tobytes())


def find_codec(number: int) -> CodecRecipe:
    """Return the codec with a number; its quality or level does not matter for reading.

    Raises:
        ValueError: no codec has that number.
    """
    for member in get_args(CodecRecipe) or (CodecRecipe,):
        if member.number == number:
            codec: CodecRecipe = member(kind=kind_of(member))
            return codec
    raise ValueError(f"unknown codec number {number}")
