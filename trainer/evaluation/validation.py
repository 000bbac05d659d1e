"""The validation text: its tokens and the bytes of each target."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainer.data.manifest import UNKNOWN_BYTES, read_split
from trainer.data.shards import map_shard
from trainer.evaluation.byte_counts import ByteCounts, load_tokenizer
from trainer.recipe.evaluation import EvaluationRecipe
from trainer.recipe.files import DataFiles
from trainer.runtime.failure import DataRefused


@dataclass(frozen=True, slots=True)
class ValidationText:
    """Validation tokens and the bytes of each target."""

    tokens: NDArray[np.uint16]
    byte_counts: NDArray[np.uint16] = field(repr=False)
    bos: int
    """The token that begins a document."""

    @property
    def bytes(self) -> int:
        return int(self.byte_counts.sum(dtype=np.int64))

    def scored_by(self, recipe: EvaluationRecipe) -> "ValidationText":
        """Return the text that a protocol scores: all of it, or with `tail: drop` only its full windows.

        Raises:
            DataRefused: there is no full window to keep.
        """
        if recipe.tail == "score":
            return self
        targets = (len(self.tokens) - 1) // recipe.window * recipe.window
        if not targets:
            raise DataRefused(
                f"the validation text is shorter than one window of {recipe.window} tokens, which tail: drop needs"
            )
        return ValidationText(self.tokens[: targets + 1], self.byte_counts[:targets], self.bos)


def read_validation(data: DataFiles, vocabulary_size: int) -> ValidationText:
    """Return the validation shards as one text.

    Raises:
        DataRefused: they have fewer than two tokens, a token that the tokenizer does not have, or a byte count other
            than that of the text in the manifest.
    """
    split = read_split(data, "validation", vocabulary_size)
    tokenizer = load_tokenizer(data.tokenizer, vocabulary_size)
    tokens = np.concatenate([map_shard(shard) for shard in split.shards]) if split.shards else np.empty(0, np.uint16)
    if len(tokens) < 2 or int(tokens.max()) >= vocabulary_size:
        raise DataRefused(f"{data.root}: expected at least 2 validation tokens, each below {vocabulary_size}")
    try:
        counts = ByteCounts(tokenizer)
    except UnicodeDecodeError as error:
        raise DataRefused(f"{data.tokenizer}: a piece is not UTF-8: {error}") from error
    text = ValidationText(tokens, counts.of_targets(tokens), tokenizer.bos_id())
    if data.transform:
        from trainer.evaluation.sidecars import count_original_bytes

        text = count_original_bytes(text, split, data, vocabulary_size)
    if split.bytes not in (text.bytes, UNKNOWN_BYTES):
        raise DataRefused(
            f"{data.root}: the validation tokens stand for {text.bytes:,} bytes, the manifest says {split.bytes:,}; "
            "bits per byte would be wrong: prepare the data again"
        )
    return text
