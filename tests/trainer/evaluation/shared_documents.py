"""Adaptation to documents as one of several processes does it: `python -m ... RANK SIZE FOLDER`."""

import sys

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from tests.trainer.small import CPU, awake_model, random_tokens, small_recipe
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.scoring import score_stream
from trainer.recipe.evaluation import ChunkUntil, DocumentLora, Phases
from trainer.runtime.world import World

BEGIN, LENGTH = 1, 700
RECIPE = DocumentLora(
    kind="document_lora",
    window=32,
    chunk_tokens=(ChunkUntil(until=8, tokens=4), ChunkUntil(until=None, tokens=12)),
    rank=3,
    lr=0.02,
    batch_documents=2,
    order="published_by_length",
    pairs="visit",
    keep_first=True,
    phases=Phases(after_documents=(17,), chunk_tokens=64, lr=0.05),
)


def text() -> NDArray[np.uint16]:
    """Return random tokens with documents of 1 to 40 tokens."""
    tokens = random_tokens(LENGTH, seed=6).numpy().astype(np.uint16)
    tokens[tokens == BEGIN] = BEGIN + 1
    tokens[np.cumsum(np.random.default_rng(2).integers(1, 40, size=60)) % LENGTH] = BEGIN
    tokens[0] = BEGIN
    return tokens


def shared_scores(rank: int, size: int) -> ScoreLedger:
    """Return the ledger of one of `size` processes."""
    ledger = ScoreLedger(text())
    score_stream(awake_model(small_recipe()), ledger, RECIPE, World(CPU, rank, size), BEGIN, lambda _: None)
    return ledger


def main(rank: int, size: int, folder: str) -> None:
    """Write the scores of one process to FOLDER/RANK.npy."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    np.save(f"{folder}/{rank}.npy", shared_scores(rank, size).nats)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
