"""BatchReader covers every transition, splits steps among ranks, and resumes behind its prefetching thread."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.data.builders import counting_stream
from tests.trainer.small import CPU, small_recipe
from trainer.data.batches import BatchReader, MicroBatch
from trainer.data.documents import segment_bounds
from trainer.data.order import make_order
from trainer.data.prefetch import Prefetcher
from trainer.data.segment_shapes import batches_of_segments
from trainer.data.shards import TokenStream
from trainer.recipe.loader import DocumentRows
from trainer.runtime.world import World

SCHEDULE = small_recipe(
    schedule__batch_tokens=64, schedule__sequence_tokens=4, schedule__micro_batch_tokens=16,
    schedule__loader="{kind: shuffled_windows}",
).schedule  # fmt: skip


@pytest.fixture
def stream(tmp_path: Path) -> TokenStream:
    return counting_stream(tmp_path, 1000, 500)


def reader(stream: TokenStream, rank: int = 0, size: int = 1, schedule: Any = SCHEDULE) -> BatchReader:
    order = make_order(schedule, stream, 7, 1)
    return BatchReader(stream, order, schedule, World(CPU, rank, size), 1)


def steps(batches: BatchReader, number: int) -> list[list[int]]:
    """Return the inputs of each step, in order."""
    found = [[token for micro in batches.next_step() for token in micro.x_BT.flatten().tolist()] for _ in range(number)]
    batches.close()
    return found


def test_sequential_batches_cover_every_transition(stream: TokenStream) -> None:
    schedule = small_recipe(
        schedule__batch_tokens=60, schedule__sequence_tokens=4, schedule__micro_batch_tokens=20
    ).schedule
    batches = reader(stream, schedule=schedule)
    pairs = [
        pair
        for _ in range(25)
        for micro in batches.next_step()
        for pair in zip(micro.x_BT.flatten().tolist(), micro.y_BT.flatten().tolist(), strict=True)
    ]
    batches.close()
    assert pairs == [(i, (i + 1) % 1500) for i in range(1500)]


def test_micro_batches_have_the_shape_of_the_schedule(stream: TokenStream) -> None:
    batches = reader(stream)
    shapes = [tuple(micro.y_BT.shape) for micro in batches.next_step()]
    batches.close()
    assert shapes == [(4, 4)] * 4


@pytest.mark.parametrize("size", [2, 4])
def test_ranks_together_read_what_one_process_reads(stream: TokenStream, size: int) -> None:
    alone = steps(reader(stream), 5)
    shared = [steps(reader(stream, rank, size), 5) for rank in range(size)]
    assert [[*chain(*parts)] for parts in zip(*shared, strict=True)] == alone


def test_the_state_covers_received_steps_and_not_those_read_ahead(stream: TokenStream) -> None:
    steady = steps(reader(stream), 9)
    first = reader(stream)
    begun = [[t for micro in first.next_step() for t in micro.x_BT.flatten().tolist()] for _ in range(4)]
    state = first.state
    first.close()
    resumed = reader(stream)
    resumed.restore(state)
    assert begun + steps(resumed, 5) == steady


def test_an_error_in_the_reading_thread_is_raised_in_training(stream: TokenStream) -> None:
    batches = reader(stream)
    batches.read_step = lambda: np.zeros(-1)  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(ValueError, match="negative"):
        list(batches.next_step())


def test_results_come_in_order_and_no_more_than_two_ahead() -> None:
    made: list[int] = []

    def produce() -> int:
        made.append(len(made))
        return made[-1]

    ahead = Prefetcher(produce)
    for expected in range(50):
        assert ahead.next() == expected
        assert len(made) <= expected + 4  # two wait, one is being put, one is being made
    ahead.close()
    assert not ahead.thread.is_alive()


def test_the_shapes_that_are_compiled_before_training_are_those_of_the_first_numbers_of_segments() -> None:
    loader = DocumentRows(kind="document_rows", row_tokens=98_304, longest=1_024)  # 96 parts without any document
    tokens_BT = torch.zeros(1, 98_304, dtype=torch.int64)
    compiled = [
        len(each.segments.bounds_N) - 1
        for each in batches_of_segments(MicroBatch(tokens_BT, tokens_BT), loader)
        if each.segments is not None
    ]
    assert compiled == [128, 192, 256, 320]
    for documents in (20, 90, 200):
        tokens_BT[0, torch.linspace(5, 98_000, documents).long()] = 1
        assert len(segment_bounds(tokens_BT, 1, 1_024)) - 1 in compiled
