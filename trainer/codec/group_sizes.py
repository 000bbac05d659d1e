"""Artifact bytes by tensor group, an estimate that shows where bytes are spent."""

from math import floor

import torch

from trainer.codec.container import ModelCard
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.quantizer import QuantizedModel


def group_bytes(card: ModelCard, model: QuantizedModel, streams: dict[str, int]) -> dict[str, int]:
    """Return the bytes of each tensor group and of header and container; they sum to the size of the file.

    The stream of codes is divided among groups by the entropy of the codes of each matrix, the streams of steps and
    floats by uncompressed size. This is an estimate: a compressor sees all of a stream at once.
    """
    codes: dict[str, float] = {}
    steps: dict[str, float] = {}
    floats: dict[str, float] = {}
    for tensor in card.tensors():
        matrix = model.matrices.get(tensor.name)
        if matrix is None:
            floats[tensor.group] = floats.get(tensor.group, 0.0) + tensor.size
            continue
        codes[tensor.group] = codes.get(tensor.group, 0.0) + entropy_bits(matrix)
        steps[tensor.group] = steps.get(tensor.group, 0.0) + sum(part.steps_R.numel() for part in matrix.parts())
    shares: dict[str, float] = {}
    for stream, weights in (("codes", codes), ("steps", steps), ("floats", floats)):
        total = sum(weights.values()) or 1.0
        for group, weight in weights.items():
            shares[group] = shares.get(group, 0.0) + streams[stream] * weight / total
    rest = sum(streams.values()) - sum(map(floor, shares.values()))
    return {group: floor(share) for group, share in shares.items()} | {"header": rest}


def entropy_bits(matrix: QuantizedMatrix) -> float:
    """Return the bits of the codes of a matrix under an ideal code of their own histogram."""
    bits = 0.0
    for part in matrix.parts():
        _, counts = torch.unique(part.codes_RC, return_counts=True)
        shares = counts.double() / counts.sum()
        bits -= float((counts.double() * torch.log2(shares)).sum())
    return bits
