"""What each group of tensors costs in an artifact, for whoever wants to spend bytes better."""

from math import floor

import torch

from trainer.codec.container import ModelCard
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.quantizer import QuantizedModel


def group_bytes(card: ModelCard, model: QuantizedModel, streams: dict[str, int]) -> dict[str, int]:
    """Bytes of each tensor group, and of header and container, which together are the whole file.

    Groups share the stream of codes by the entropy of their codes, a matrix at a time, and the streams of steps and
    floats by their sizes before compression: an estimate, for a compressor sees all of them at once.
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
    """Bits that the codes of a matrix take when each is coded by how often it occurs."""
    bits = 0.0
    for part in matrix.parts():
        _, counts = torch.unique(part.codes_RC, return_counts=True)
        shares = counts.double() / counts.sum()
        bits -= float((counts.double() * torch.log2(shares)).sum())
    return bits
