"""The search for exponents of steps: what candidates are compared on, and what the table predicts."""

import pytest
import torch
import torch.nn.functional as F

from pgolf.rundir import RunDirectory
from tests.pgolf.preflight.test_fit_by_sensitivity import QUANTIZER
from trainer.model.gpt import GptModel
from trainer.recipe.codec import ColumnRange
from trainer.recipe.decode import decode_value
from trainer.recipe.quantizer import FisherSteps, Gptq, QuantizerRecipe
from trainer.runtime.checkpoint import read_checkpoint
from trainer.runtime.failure import TrainingFailed
from trainer.runtime.job import read_job
from trainer.step_search import Request, StepSearch, free_starts

WANTED = 12_000


@pytest.fixture
def search(long_run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> StepSearch:
    monkeypatch.setattr("trainer.step_search.COMPARED_SEQUENCES", 16)
    quantizer: QuantizerRecipe = decode_value(QuantizerRecipe, QUANTIZER, "quantizer")
    return StepSearch(read_job(long_run.root), Request(quantizer, ColumnRange(kind="column_range"), WANTED))


def test_candidates_are_compared_on_training_text_that_calibration_does_not_use(search: StepSearch) -> None:
    """The divergence of an attempt is that of its dequantized weights, computed here from the run's files alone."""
    job = search.job
    assert isinstance(search.quantizer, Gptq)
    steps = FisherSteps(kind="fisher")
    attempt = search.attempt(steps, search.measure(steps))
    calibration = search.exporter.calibration_sequences(search.quantizer.calibration)
    stream = search.exporter.data.stream
    taken = search.calibrated(len(stream))
    assert [stream.read(part.start, len(part)).tolist() for part in taken[:8]] == [c[0].tolist() for c in calibration]
    starts = free_starts(len(stream), 64, job.seed, taken)
    used = {position for part in taken for position in part}
    assert len(starts) == 16
    assert not any(position in used for at in starts for position in range(at, at + 64))
    model = GptModel(job.recipe.model, job.recipe.vocabulary_size).eval()
    text = [torch.from_numpy(stream.read(at, 64))[None] for at in starts]
    assert all(map(torch.equal, text, search.compared))
    model.load_state_dict(read_checkpoint(job.files.prequant))
    with torch.no_grad():
        before = [F.log_softmax(model(tokens)[0], -1).double() for tokens in text]
        recipe = search.scaled(steps)
        model.load_state_dict(search.exporter.quantize(recipe, attempt.measured).dequantize())
        after = [F.log_softmax(model(tokens)[0], -1).double() for tokens in text]
    total = sum(float((old.exp() * (old - new)).sum()) for old, new in zip(before, after, strict=True))
    weights = sum(tensor.size for tensor in search.chosen)
    at_bytes = 4 ** (8 * (attempt.bytes - WANTED) / weights)
    assert attempt.divergence == pytest.approx(at_bytes * total / sum(tokens.numel() for tokens in text), rel=1e-3)


def test_predicted_losses_are_near_the_measured_divergence(search: StepSearch) -> None:
    steps = FisherSteps(kind="fisher")
    search.find_scale(steps, search.measure(steps))
    attempt = search.attempt(steps, search.measure(steps))
    predicted = sum(tensor["nats"] for tensor in search.table(attempt))
    assert 0.4 < predicted / attempt.divergence < 2.5


def test_no_text_that_calibration_reads_is_compared() -> None:
    with pytest.raises(TrainingFailed, match=r"fewer calibration\.sequences"):
        free_starts(1000, 64, 0, [range(1000)])
