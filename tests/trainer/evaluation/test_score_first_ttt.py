"""Score-first TTT against an independent implementation that scores one target at a time."""

import subprocess
import sys
from math import cos, pi
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.trainer.evaluation.shared_step import CHUNK, STRIDE, WINDOW, shared_step, ttt_recipe
from tests.trainer.evaluation.test_legality import BEGIN, stream
from tests.trainer.small import CPU, awake_model, random_tokens, small_recipe
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.score_first_ttt import ChunkLearner
from trainer.evaluation.scoring import score_stream
from trainer.recipe.evaluation import AdamW, ScoreFirstTtt, Sgd
from trainer.runtime.failure import RunFailure
from trainer.runtime.world import SINGLE_PROCESS, World

ROOT = Path(__file__).parents[3]


def by_hand(ttt: ScoreFirstTtt) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return the scores, each target from a forward pass of its own."""
    tokens = torch.from_numpy(stream().astype(np.int64))
    model = awake_model(small_recipe())
    named = dict(model.named_parameters())
    learning = [named[n] for n in named if not n.startswith("flat.0.")] if ttt.freeze else list(named.values())
    optimizer: torch.optim.Optimizer
    if isinstance(ttt.optimizer, Sgd):
        optimizer = torch.optim.SGD(learning, lr=1.0, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(learning, lr=1.0, betas=(0.9, 0.999), weight_decay=0.0)
    targets = len(tokens) - 1
    chunks = -(-targets // CHUNK)
    nats = np.empty(targets)
    scored = 0
    for chunk in range(chunks):
        end = (chunk + 1) * CHUNK
        while scored < min(end, targets):
            stop = min(WINDOW if scored == 0 else scored + STRIDE, targets)
            with torch.no_grad():
                logits = model(tokens[max(0, stop - WINDOW) : stop][None])[0]
            first = max(0, stop - WINDOW)
            for target in range(scored, stop):
                nats[target] = F.cross_entropy(logits[target - first], tokens[target + 1]).item()
            scored = stop
        if chunk == chunks - 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = ttt.optimizer.lr * 0.5 * (1 + cos(pi * chunk / (chunks - 1)))
        for _ in range(ttt.epochs):
            for start in range(chunk * CHUNK, end, WINDOW):
                optimizer.zero_grad()
                logits = model(tokens[start : start + WINDOW][None])[0]
                F.cross_entropy(logits, tokens[start + 1 : start + WINDOW + 1]).backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(learning, ttt.clip_norm)
                optimizer.step()
    return nats


@pytest.mark.parametrize(
    "changes",
    [{}, {"freeze": ("flat.0",)}, {"optimizer": AdamW(kind="adamw", lr=0.01)}],
    ids=["sgd", "frozen", "adamw"],
)
def test_scores_equal_the_independent_implementation(changes: dict[str, object]) -> None:
    ttt = ttt_recipe(**changes)
    ledger = ScoreLedger(stream())
    score_stream(awake_model(small_recipe()), ledger, ttt, SINGLE_PROCESS, BEGIN, lambda _: None)
    np.testing.assert_allclose(ledger.nats, by_hand(ttt), atol=2e-4)


def test_only_selected_tensors_change() -> None:
    model = awake_model(small_recipe())
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    ttt = ttt_recipe(learn=("flat.*.mlp", "embedding"), freeze=("flat.1",))
    score_stream(model, ScoreLedger(stream()), ttt, SINGLE_PROCESS, BEGIN, lambda _: None)
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {"embedding.tokens", *(f"flat.{n}.mlp.{part}" for n in (0, 2, 3) for part in ("up", "down"))}


def test_an_empty_selection_is_an_error() -> None:
    with pytest.raises(RunFailure, match="no tensor to train"):
        score_stream(
            awake_model(small_recipe()),
            ScoreLedger(stream()),
            ttt_recipe(freeze=("*",)),
            SINGLE_PROCESS,
            BEGIN,
            lambda _: None,
        )


def test_a_step_shared_by_processes_equals_the_step_of_one(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-m", shared_step.__module__, str(rank), "2", str(tmp_path)], cwd=ROOT)
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    first, second = (np.load(tmp_path / f"{rank}.npy") for rank in range(2))
    assert np.array_equal(first, second)
    np.testing.assert_allclose(first, shared_step(0, 1), atol=1e-8, rtol=0)


def test_scoring_one_by_one_makes_every_process_compute_the_whole_step() -> None:
    model = awake_model(small_recipe(compute__scoring="one_by_one")).double()
    learner = ChunkLearner(
        model, ttt_recipe(batch_sequences=3, epochs=1), World(CPU, 1, 2)
    )  # there is no second process
    learner.learn(random_tokens(4, WINDOW + 1), 1.0)
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy()
    np.testing.assert_allclose(weights, shared_step(0, 1), atol=1e-8, rtol=0)
