"""Decode and score the artifact, in a process that has not trained.

The score depends on model.bin, the tokenizer and the validation shards only. The float weights are read for the score
before quantization, which is reported beside the headline.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from trainer.codec.container import ModelCard, decode_artifact
from trainer.evaluation.ledger import ScoreLedger, bits_per_byte, write_ledger
from trainer.evaluation.scoring import score_stream
from trainer.evaluation.validation import ValidationText, read_validation
from trainer.graphs import LearningGraphs, ScoringGraphs, is_compiled
from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import Chunked, EvaluationRecipe, ScoreFirstTtt, plain_protocol
from trainer.recipe.files import DataFiles, RunFiles
from trainer.recipe.writing import write_json
from trainer.runtime.checkpoint import CheckpointDamaged, read_checkpoint
from trainer.runtime.clock import PhaseClock
from trainer.runtime.journal import Journal, make_journal
from trainer.runtime.stop import StopRequest
from trainer.runtime.world import World


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one artifact."""

    metrics: list[dict[str, Any]]
    """One per stage; of the packed model the last is the headline."""
    headline: dict[str, Any]
    seconds: dict[str, float]
    """Of each phase."""
    ledger: ScoreLedger
    """The scores of the headline, target by target."""
    text: ValidationText


def score_run(files: RunFiles, data: DataFiles, world: World, stop: StopRequest) -> None:
    """Score the artifact of a run directory, and write scores.json and ledger.npz.

    Raises:
        ArtifactRefused: model.bin is damaged.
        DataRefused: the validation data is damaged.
        Stopped: on request.
    """

    def check() -> None:
        if world.is_rank_zero:  # the other ranks end with rank 0
            stop.check()

    journal = make_journal(files, world.is_rank_zero)
    scores = score_artifact(decode_artifact, files, data, world, journal, check, read_references(files))
    if world.is_rank_zero:
        write_ledger(files.ledger, scores.ledger.nats, scores.text.byte_counts, scores.ledger.order)
        write_json(files.scores, {"metrics": scores.metrics, "headline": scores.headline, "seconds": scores.seconds})


def score_artifact(
    decode: Callable[[Path], tuple[ModelCard, dict[str, Tensor]]], files: RunFiles, data: DataFiles, world: World,
    journal: Journal, check: Callable[[], None], references: Iterable[tuple[str, dict[str, Tensor]]] = (),
) -> Scores:  # fmt: skip
    """Score the weights before quantization, the artifact, the artifact with adaptation, and references.

    The ranks take turns with batches. `check` is called after each batch.

    Raises:
        ArtifactRefused: model.bin is damaged.
        DataRefused: the validation data is damaged.
    """
    clock = PhaseClock()
    journal.report(phase="decode")
    with clock.phase("decode"):
        card, weights = decode(files.model)
    text = read_validation(data, card.vocabulary_size).scored_by(card.evaluation)
    journal.report(phase="evaluate", total=len(text.tokens) - 1, scored=0)

    def follow(stage: str, scored: int) -> None:
        check()
        journal.pulse(stage=stage, scored=scored, stage_seconds=clock.running_seconds)

    scoring = ModelScoring(card, text, world, journal, follow)
    plain = plain_protocol(card.evaluation)
    if kept := read_prequant(files):
        with clock.phase("prequant"):
            scoring.score("prequant", kept, plain)
    with clock.phase("evaluate" if plain == card.evaluation else "roundtrip"):
        ledger = scoring.score("roundtrip", weights, plain)
    if plain != card.evaluation:
        with clock.phase("evaluate"):
            ledger = scoring.score("ttt", weights, card.evaluation)
    headline = scoring.metrics[-1]
    for name, reference in references:
        with clock.phase("references"):
            scoring.score("reference", reference, plain, quantizer=name)
    return Scores(scoring.metrics, headline, clock.finished, ledger, text)


def read_prequant(files: RunFiles) -> dict[str, Tensor] | None:
    """Return the float weights from before quantization, or None if the file is missing or damaged."""
    if not files.prequant.exists():
        return None
    try:
        return read_checkpoint(files.prequant)
    except CheckpointDamaged:
        return None


def read_references(files: RunFiles) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield name and weights of each reference artifact. The names are those in the recipe."""
    for path in sorted(files.references.glob("*.bin")):
        yield path.stem, decode_artifact(path)[1]


class ModelScoring:
    """Scores several sets of weights of one model on the same text."""

    def __init__(
        self,
        card: ModelCard,
        text: ValidationText,
        world: World,
        journal: Journal,
        follow: Callable[[str, int], None],
    ) -> None:
        self.card, self.text, self.world, self.journal, self.follow = card, text, world, journal, follow
        self.metrics: list[dict[str, Any]] = []
        self.model = GptModel(card.model, card.vocabulary_size, card.compute).to(world.device)
        self.graphs: ScoringGraphs | None = None
        self.learning_graphs: LearningGraphs | None = None
        if is_compiled(card.compute, world.device):
            self.graphs = ScoringGraphs(self.model, journal.log)
            if isinstance(card.evaluation, ScoreFirstTtt):
                self.learning_graphs = LearningGraphs(self.model, journal.log)

    def score(self, stage: str, weights: dict[str, Tensor], recipe: EvaluationRecipe, **facts: str) -> ScoreLedger:
        """Score weights under a protocol, append their metric, and return the ledger."""
        model = self.model.requires_grad_(True)  # adaptation may have frozen some
        model.load_state_dict(weights)
        ledger, clock = ScoreLedger(self.text.tokens), PhaseClock()
        with clock.phase("evaluate"):
            score_stream(
                model,
                ledger,
                recipe,
                self.world,
                self.text.bos,
                lambda n: self.follow(stage, n),
                forward=self.graphs,
                backward=self.learning_graphs,
            )
        nats, targets = ledger.totals()
        metric = {"stage": stage, **describe_protocol(recipe), **facts}
        metric |= {"val_loss": nats / targets, "val_bpb": bits_per_byte(nats, self.text.bytes)}
        metric |= {"tokens": targets, "bytes": self.text.bytes, "seconds": round(clock.seconds("evaluate"), 3)}
        self.metrics.append(metric)
        self.journal.score(metric)
        return ledger


def describe_protocol(recipe: EvaluationRecipe) -> dict[str, Any]:
    """Return protocol, window and stride of a metric; for adaptation, those of its scoring."""
    plain = plain_protocol(recipe)
    stride = plain.window if isinstance(plain, Chunked) else plain.stride
    described: dict[str, Any] = {"protocol": plain.kind, "window": plain.window, "stride": stride}
    if plain.temperature != 1.0:
        described["temperature"] = plain.temperature
    if plain.tail != "score":
        described["tail"] = plain.tail
    return described
