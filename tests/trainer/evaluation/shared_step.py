"""A step of score-first TTT as one of several processes takes it: `python -m ... RANK SIZE FOLDER`."""

import sys

import numpy as np
import torch
import torch.distributed as dist

from tests.trainer.small import CPU, awake_model, random_tokens, small_recipe
from trainer.evaluation.score_first_ttt import ChunkLearner
from trainer.recipe.evaluation import ScoreFirstTtt, Sgd
from trainer.runtime.world import World

WINDOW, STRIDE, CHUNK = 32, 8, 64


def ttt_recipe(**changes: object) -> ScoreFirstTtt:
    values: dict[str, object] = {
        "kind": "score_first_ttt",
        "window": WINDOW,
        "stride": STRIDE,
        "chunk_tokens": CHUNK,
        "optimizer": Sgd(kind="sgd", lr=0.05, momentum=0.9),
        "epochs": 2,
        "batch_sequences": 1,
        "clip_norm": 0.5,
    }
    return ScoreFirstTtt(**values | changes)  # type: ignore[arg-type]


def shared_step(rank: int, size: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return all weights after two steps, of three sequences and of one, as computed by one of `size` processes."""
    model = awake_model(small_recipe()).double()
    learner = ChunkLearner(model, ttt_recipe(batch_sequences=3, epochs=1), World(CPU, rank, size))
    learner.learn(random_tokens(4, WINDOW + 1), 1.0)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy()


def main(rank: int, size: int, folder: str) -> None:
    """Write the weights of one process to FOLDER/RANK.npy."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    np.save(f"{folder}/{rank}.npy", shared_step(rank, size))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
