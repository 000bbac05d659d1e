"""The bytes of transformed text: files beside the shards say how many of the original's each token stands for."""

from dataclasses import replace

import numpy as np

from trainer.data.manifest import DataSplit
from trainer.data.shards import map_shard
from trainer.evaluation.byte_counts import load_tokenizer
from trainer.evaluation.validation import ValidationText
from trainer.recipe.caseops import CaseOpsBytes, NotCaseOps
from trainer.recipe.files import DataFiles
from trainer.runtime.failure import DataRefused


def count_original_bytes(
    text: ValidationText, split: DataSplit, data: DataFiles, vocabulary_size: int
) -> ValidationText:
    """Return a CaseOps text with the bytes that its sidecars say.

    Raises:
        DataRefused: a sidecar is missing or of another length, or wrong about a document.
    """
    lengths = [[file.tokens for file in files] for files in (split.sidecars, split.shards)]
    if lengths[0] != lengths[1]:
        raise DataRefused(
            f"{data.root}: found byte sidecars of {lengths[0]} tokens, expected {lengths[1]}, one for each validation "
            "shard; fetch or prepare the data again"
        )
    counts = np.concatenate([map_shard(sidecar) for sidecar in split.sidecars])
    try:
        rule = CaseOpsBytes(load_tokenizer(data.tokenizer, vocabulary_size))
    except NotCaseOps as error:
        raise DataRefused(f"{data.tokenizer}: {error}") from error
    if (wrong := rule.first_wrong(text.tokens, counts, text.bos)) is not None:
        raise DataRefused(f"{data.root}: {wrong}")
    return replace(text, byte_counts=counts[1:])
