"""A byte bigram model: small enough to train in a moment, real enough to learn, to be packed and to be scored."""

import math
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]


def read_bytes(path: str) -> Bytes:
    return np.frombuffer(Path(path).read_bytes(), np.uint8)


def log_probabilities(logits: Floats) -> Floats:
    shifted = logits - logits.max(-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def score(weights: Floats, text: Bytes) -> tuple[float, float]:
    """Nats a byte, and bits."""
    nats = -float(log_probabilities(weights)[text[:-1], text[1:]].mean())
    return nats, nats / math.log(2)


class Learner:
    """Weights that follow the gradient of the bigram loss."""

    def __init__(self, seed: int, learning_rate: float, batch: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.weights: Floats = 0.01 * self.chance.standard_normal((256, 256))
        self.learning_rate, self.batch = learning_rate, batch

    def step(self, text: Bytes) -> float:
        places = self.chance.integers(0, len(text) - 1, self.batch)
        before, after = text[places], text[places + 1]
        found = log_probabilities(self.weights[before])
        gradient = np.exp(found)
        gradient[np.arange(self.batch), after] -= 1
        np.add.at(self.weights, before, -self.learning_rate * gradient)
        return -float(found[np.arange(self.batch), after].mean())

    def steps(self, text: Bytes, count: int, seconds: float) -> Iterator[tuple[int, float, float]]:
        """Yield number, loss and milliseconds of each step, until one of both is used up."""
        began = time.monotonic()
        for step in range(1, count + 1):
            loss = self.step(text)
            milliseconds = 1000 * (time.monotonic() - began)
            yield step, loss, milliseconds
            if seconds and milliseconds > 1000 * seconds:
                return


def pack(weights: Floats, path: str) -> int:
    """Write the packed model and return its bytes."""
    scale = float(np.abs(weights).max()) / 127
    packed = zlib.compress(np.float32(scale).tobytes() + np.rint(weights / scale).astype(np.int8).tobytes(), 9)
    Path(path).write_bytes(packed)
    return len(packed)


def unpack(path: str) -> Floats:
    content = zlib.decompress(Path(path).read_bytes())
    codes = np.frombuffer(content[4:], np.int8).reshape(256, 256)
    return codes.astype(np.float64) * float(np.frombuffer(content[:4], np.float32)[0])


def adapted_score(weights: Floats, text: Bytes, learning_rate: float, say: Callable[[int, float], None]) -> float:
    """Nats a byte where each chunk is scored first and learned from after."""
    chunk, nats, count = 512, 0.0, 0
    weights = weights.copy()
    for number, start in enumerate(range(0, len(text) - 1, chunk)):
        part = text[start : start + chunk + 1]
        loss, _ = score(weights, part)
        nats, count = nats + loss * (len(part) - 1), count + len(part) - 1
        np.add.at(weights, part[:-1], -learning_rate * np.exp(log_probabilities(weights[part[:-1]])))
        np.add.at(weights, (part[:-1], part[1:]), learning_rate)
        say(number, nats / count)
    return nats / count
