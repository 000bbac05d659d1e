"""The validation text: its tokens, and the bytes that each target stands for."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainer.data.manifest import read_split
from trainer.data.shards import map_shard
from trainer.evaluation.byte_counts import ByteCounts, load_tokenizer
from trainer.recipe.evaluation import EvaluationRecipe
from trainer.recipe.files import DataFiles
from trainer.runtime.failure import DataRefused


@dataclass(frozen=True, slots=True)
class ValidationText:
    """All validation tokens, and the bytes of each target."""

    tokens: NDArray[np.uint16]
    byte_counts: NDArray[np.uint16] = field(repr=False)
    bos: int
    """The token that begins a document."""

    @property
    def bytes(self) -> int:
        return int(self.byte_counts.sum(dtype=np.int64))

    def scored_by(self, recipe: EvaluationRecipe) -> "ValidationText":
        """What a protocol scores: all of it, or, where it drops the tail, only full windows."""
        if recipe.tail == "score":
            return self
        targets = (len(self.tokens) - 1) // recipe.window * recipe.window
        if not targets:
            raise DataRefused(
                f"the validation text has no full window of {recipe.window} tokens, which tail: drop needs"
            )
        return ValidationText(self.tokens[: targets + 1], self.byte_counts[:targets], self.bos)


def read_validation(data: DataFiles, vocabulary_size: int) -> ValidationText:
    """The validation shards in one piece.

    Raises: DataRefused when they hold fewer than two tokens, one that the tokenizer does not have, or other bytes than
    their text.
    """
    tokenizer = load_tokenizer(data.tokenizer, vocabulary_size)
    split = read_split(data, "validation", vocabulary_size)
    tokens = np.concatenate([map_shard(shard) for shard in split.shards]) if split.shards else np.empty(0, np.uint16)
    if len(tokens) < 2 or int(tokens.max()) >= vocabulary_size:
        raise DataRefused(f"{data.root}: validation tokens do not fit a tokenizer of {vocabulary_size} pieces")
    text = ValidationText(tokens, ByteCounts(tokenizer).of_targets(tokens), tokenizer.bos_id())
    if text.bytes != split.bytes:
        raise DataRefused(
            f"{data.root}: the tokens count {text.bytes:,} bytes, the validation text has {split.bytes:,}; "
            "bits per byte would be wrong. Prepare the data again"
        )
    return text
