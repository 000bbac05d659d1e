"""Measure what adaptation gains in two orders of documents: that of the text, and the records' by length.

    python experiments/studies/adaptation/orders.py runs/NAME-*/seed-* --documents 120

For each finished run, the artifact scores the beginnings of validation documents, of 100 to 800 tokens each, under the
adaptation of #1855 at a small size. The output has bits per byte, and the differences between ways to adapt, paired by
document, with their standard errors.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.codec.container import decode_artifact
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.scoring import document_starts, score_stream
from trainer.evaluation.validation import ValidationText, read_validation
from trainer.evaluation.windows import document_spans
from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import DocumentLora, EvaluationRecipe, Phases, plain_protocol
from trainer.recipe.files import DataFiles, RunFiles
from trainer.recipe.reading import read_json
from trainer.runtime.world import SINGLE_PROCESS

SHORTEST, LONGEST, SEED = 100, 800, 7
CAUSAL = DocumentLora(
    kind="document_lora", window=256, chunk_tokens=48, batch_documents=8, pairs="visit", rank=8, alpha=14.4, lr=1e-3,
    beta2=0.99, keep_first=True, phases=Phases(after_documents=(32, 64), chunk_tokens=4096, lr=1e-3),
)  # fmt: skip
WAYS: dict[str, EvaluationRecipe] = {
    "plain": plain_protocol(CAUSAL),
    "alone": replace(CAUSAL, keep_first=False, phases=None),
    "stream": CAUSAL,
    "by length": replace(CAUSAL, order="published_by_length"),
}
PAIRS = (("alone", "plain"), ("stream", "plain"), ("by length", "plain"), ("stream", "by length"))


def beginnings(text: ValidationText, documents: int) -> ValidationText:
    """Return the first tokens of the first documents of a text, so many of each as chance says."""
    chance, kept = np.random.default_rng(SEED), list[NDArray[np.int64]]()
    for start, stop in list(document_spans(document_starts(text.tokens, text.bos), len(text.tokens) - 1))[:documents]:
        kept.append(np.arange(start, min(stop, start + int(chance.integers(SHORTEST, LONGEST)))))
    chosen = np.concatenate(kept)
    # The byte count of a target belongs to the token after it; the first token of each document counts nothing.
    counts = np.concatenate(([0], text.byte_counts))[chosen]
    counts[np.isin(chosen, [part[0] for part in kept])] = 0
    return ValidationText(text.tokens[chosen], counts[1:].astype(np.uint16), text.bos)


def scores(run: Path, documents: int) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.int64]]]:
    """Yield the nats of each document in each way, and the bytes of each document."""
    files = RunFiles(run.resolve())
    card, weights = decode_artifact(files.model)
    transform = read_json(files.spec)["recipe"]["data"].get("transform")
    data = DataFiles(Path(read_json(files.run)["data_folder"]), transform=transform)
    text = beginnings(read_validation(data, card.vocabulary_size), documents)
    spans = list(document_spans(document_starts(text.tokens, text.bos), len(text.tokens) - 1))
    for way, recipe in WAYS.items():
        model, ledger = GptModel(card.model, card.vocabulary_size, card.compute), ScoreLedger(text.tokens)
        model.load_state_dict(weights)
        score_stream(model, ledger, recipe, SINGLE_PROCESS, text.bos, lambda _: None)
        nats = np.array([ledger.nats[start:stop].sum(dtype=np.float64) for start, stop in spans])
        yield way, nats, np.array([text.byte_counts[start:stop].sum(dtype=np.int64) for start, stop in spans])


def report(run: Path, nats: Mapping[str, NDArray[np.float64]], counts: NDArray[np.int64]) -> None:
    """Print bits per byte in each way, and the paired differences in thousandths with their standard errors."""
    total = counts.sum()
    print(run.name, f"{len(counts)} documents", f"{total:,} bytes")
    for way, of_documents in nats.items():
        print(f"  {way:10} {of_documents.sum() / log(2) / total:.6f} bpb")
    for one, other in PAIRS:
        bits = (nats[one] - nats[other]) / log(2)
        error = len(bits) ** 0.5 * bits.std(ddof=1) / total
        print(f"  {one} - {other}: {1000 * bits.sum() / total:+.3f} +- {1000 * error:.3f} mbpb", flush=True)


def main() -> None:
    """Score every run in every way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--documents", type=int, default=120)
    arguments = parser.parse_args()
    for run in arguments.runs:
        found = list(scores(run, arguments.documents))
        report(run, {way: of_documents for way, of_documents, _ in found}, found[0][2])


if __name__ == "__main__":
    main()
