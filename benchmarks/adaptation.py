"""Adaptation to documents: side by side in one forward pass, against one document at a time."""

from dataclasses import replace
from functools import partial

import torch

from benchmarks.measure import Ratio, Timing, take_turns
from benchmarks.shapes import bench_device
from benchmarks.training import pair_ratios
from pgolf.specs.loading import load_spec
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.scoring import score_stream
from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import DocumentLora
from trainer.runtime.world import World

SPEC, VOCABULARY, BOS = "pr1855", 1024, 1
DOCUMENTS, DOCUMENT_TOKENS = 32, 100


def measure_adaptation(rounds: int) -> tuple[list[Timing], list[Ratio]]:
    """Return the times of adaptation to documents of one length, as in #1855 at micro, and how they compare."""
    recipe = load_spec(SPEC, ["micro"], [f"recipe.data.vocabulary_size={VOCABULARY}"]).spec.recipe
    assert isinstance(recipe.evaluation, DocumentLora)
    alone = replace(recipe.evaluation, batch_documents=1, order="stream", keep_first=False, phases=None)
    model = GptModel(recipe.model, VOCABULARY, recipe.compute).to(bench_device())
    tokens = torch.randint(2, VOCABULARY, (DOCUMENTS, DOCUMENT_TOKENS), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = BOS
    ways = {f"{number} at a time": replace(alone, batch_documents=number) for number in (1, 8, DOCUMENTS)}

    def score(way: DocumentLora) -> None:
        ledger = ScoreLedger(tokens.flatten().numpy().astype("uint16"))
        score_stream(model, ledger, way, World(bench_device()), BOS, lambda _: None)

    seconds = take_turns({name: partial(score, way) for name, way in ways.items()}, rounds)
    name, most = f"adaptation to documents of {DOCUMENT_TOKENS} tokens", f"{DOCUMENTS} at a time"
    timings = [Timing(f"{name}: {way}", each, tokens.numel(), "tokens") for way, each in seconds.items()]
    return timings, [Ratio(f"{name}: {most} over one", pair_ratios(seconds["1 at a time"], seconds[most]))]
