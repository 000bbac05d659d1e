"""Scores of classical methods on the validation text, for comparison with a run's.

An order-2 byte model, counted on the training text, uses two bytes of context; brotli sees the validation text alone.
A language model that is not clearly below the order-2 model has not learned.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from pgolf.documents import read_document
from trainer.recipe.strict import Positive
from trainer.recipe.writing import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE_NAME = "references.json"
BROTLI_BYTES = 4_000_000


class ReferencesDocument(TypedDict):
    """references.json."""

    order2_bpb: Positive
    brotli_bpb: Positive


@dataclass(frozen=True, slots=True)
class References:
    """Bits per byte of classical methods on the validation text."""

    order2_bpb: float
    brotli_bpb: float
    """Brotli at quality 11 on the first 4 MB of the text."""


def order2_bits(train: bytes, validation: bytes) -> float:
    """Return the bits per byte of an order-2 byte model counted on `train`.

    Orders 2, 1 and 0 are interpolated with Witten-Bell weights: a context that was followed by d different bytes in n
    visits gives n / (n + d) of the mass to its own counts and the rest to the shorter context.
    """
    import numpy as np

    seen, target = as_array(train), as_array(validation)
    probability = np.full(len(target), 1 / 256)
    for order in range(3):
        counts = count_contexts(seen, order)
        context = context_numbers(target, order)
        visits, kinds = counts.sum(axis=1)[context], (counts > 0).sum(axis=1)[context]
        own = counts[context, target]
        with np.errstate(invalid="ignore"):
            mixed = (own + kinds * probability) / (visits + kinds)
        probability = np.where(visits > 0, mixed, probability)
    return float(-np.log2(probability).mean())


def as_array(text: bytes) -> "NDArray[np.uint8]":
    import numpy as np

    return np.frombuffer(text, dtype=np.uint8)


def context_numbers(text: "NDArray[np.uint8]", order: int) -> "NDArray[np.int64]":
    """Return the number of the context before each byte; the text is padded with zeros in front."""
    import numpy as np

    number = np.zeros(len(text), dtype=np.int64)
    for distance in range(order, 0, -1):
        before = np.concatenate((np.zeros(distance, np.int64), text[:-distance].astype(np.int64)))[: len(text)]
        number = number * 256 + before
    return number


def count_contexts(text: "NDArray[np.uint8]", order: int) -> "NDArray[np.int64]":
    """Count how often each byte followed each context. Shapes: (256^order, 256)."""
    import numpy as np

    cells = context_numbers(text, order) * 256 + text
    return np.bincount(cells, minlength=256 ** (order + 1)).reshape(-1, 256)


def measure_references(train: Iterable[str], validation: Iterable[str]) -> References:
    """Score the validation text with the classical methods."""
    import brotli

    train_text, validation_text = "".join(train).encode(), "".join(validation).encode()
    head = validation_text[:BROTLI_BYTES]
    compressed = brotli.compress(head, quality=11, lgwin=24)
    return References(
        order2_bpb=order2_bits(train_text, validation_text), brotli_bpb=8 * len(compressed) / max(len(head), 1)
    )


def write_references(folder: Path, references: References) -> None:
    write_json(folder / FILE_NAME, {"order2_bpb": references.order2_bpb, "brotli_bpb": references.brotli_bpb})


def keep_references(folder: Path, references: References) -> None:
    """Write references.json; a folder that is not writable is left as it is."""
    with suppress(OSError):
        write_references(folder, references)


def read_references(folder: Path) -> References | None:
    """Return the scores stored beside the shards, or None if there are none."""
    try:
        return References(**read_document(folder / FILE_NAME, ReferencesDocument))
    except (OSError, ValueError):
        return None


def describe_references(references: References) -> str:
    """Return the scores as text."""
    return f"order-2 byte model {references.order2_bpb:.4f} bpb, brotli-11 {references.brotli_bpb:.4f} bpb"


def is_well_below(val_bpb: float, references: References) -> bool:
    """Return whether a score is at least 0.1 bpb below the order-2 model's."""
    return val_bpb <= references.order2_bpb - 0.1
