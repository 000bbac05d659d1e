"""Decode, then score: a function of model.bin, the tokenizer and the validation shards, in a process that has not
trained.

It reads nothing else of the run but the float weights kept before quantization, for the figure beside the headline.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from trainer.codec.container import ModelCard, decode_artifact
from trainer.evaluation.ledger import ScoreLedger, bits_per_byte, write_ledger
from trainer.evaluation.scoring import score_stream
from trainer.evaluation.validation import ValidationText, read_validation
from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import EvaluationRecipe, Sliding
from trainer.recipe.files import DataFiles, RunFiles, write_json
from trainer.runtime.checkpoint import CheckpointDamaged, read_checkpoint
from trainer.runtime.clock import PhaseClock
from trainer.runtime.journal import journal_of
from trainer.runtime.stop import StopRequest
from trainer.runtime.world import World


def score_artifact(files: RunFiles, data: DataFiles, world: World, stop: StopRequest) -> None:
    """Nothing; scores.json and ledger.npz are written. Processes that share the work score every so many-th batch.

    Raises: ArtifactRefused when model.bin is damaged, DataRefused when the validation data is, Stopped when asked to.
    """
    clock = PhaseClock()
    journal = journal_of(files, world.is_chief)
    journal.report(phase="decode")
    with clock.phase("decode"):
        card, weights = decode_artifact(files.model)
    text = read_validation(data, card.vocabulary_size)
    journal.report(phase="evaluate", total=len(text.tokens) - 1, scored=0)
    metrics = []

    def follow(stage: str, scored: int) -> None:
        if world.is_chief:  # the others end with it
            stop.check()
        journal.pulse(stage=stage, scored=scored, stage_seconds=clock.running_seconds)

    if kept := read_prequant(files):
        with clock.phase("prequant"):
            prequant, _ = score_weights(card, kept, text, world, follow, "prequant")
        metrics.append(prequant)
        journal.say(describe_metric(prequant))
    with clock.phase("evaluate"):
        roundtrip, ledger = score_weights(card, weights, text, world, follow, "roundtrip")
    metrics.append(roundtrip)
    journal.say(describe_metric(roundtrip))
    if not world.is_chief:
        return
    write_ledger(files.ledger, ledger.nats, text.byte_counts)
    write_json(files.scores, {"metrics": metrics, "headline": roundtrip, "seconds": clock.finished})


def read_prequant(files: RunFiles) -> dict[str, Tensor] | None:
    """The float weights kept before quantization, or None when they are not there or not whole."""
    if not files.prequant.exists():
        return None
    try:
        return read_checkpoint(files.prequant)
    except CheckpointDamaged:
        return None


def score_weights(
    card: ModelCard,
    weights: dict[str, Tensor],
    text: ValidationText,
    world: World,
    follow: Callable[[str, int], None],
    stage: str,
) -> tuple[dict[str, Any], ScoreLedger]:
    """The metric of some weights under the card's protocol, and the ledger behind it."""
    model = GptModel(card.model, card.vocabulary_size)
    model.load_state_dict(weights)
    ledger = ScoreLedger(text.tokens)
    clock = PhaseClock()
    with clock.phase("evaluate"):
        score_stream(
            model.to(world.device),
            ledger,
            card.evaluation,
            world,
            lambda scored: follow(stage, scored),
        )
    nats, targets = ledger.totals()
    metric = {"stage": stage, **describe_protocol(card.evaluation)}
    metric |= {"val_loss": nats / targets, "val_bpb": bits_per_byte(nats, text.bytes)}
    metric |= {"tokens": targets, "bytes": text.bytes, "seconds": round(clock.seconds("evaluate"), 3)}
    return metric, ledger


def describe_protocol(recipe: EvaluationRecipe) -> dict[str, Any]:
    """Protocol, window and stride as every metric carries them."""
    stride = recipe.stride if isinstance(recipe, Sliding) else recipe.window
    return {"protocol": recipe.kind, "window": recipe.window, "stride": stride}


def describe_metric(metric: dict[str, Any]) -> str:
    """A metric for people."""
    score = f"val_loss {metric['val_loss']:.6f} val_bpb {metric['val_bpb']:.6f}"
    return f"score: {metric['stage']} {metric['protocol']} {score}"
