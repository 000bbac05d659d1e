"""Each window order keeps its guarantees and continues from a saved state."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.data.builders import counting_stream, write_shard
from tests.trainer.small import small_recipe
from trainer.data.documents import segment_bounds
from trainer.data.order import WindowOrder, make_order
from trainer.data.shards import TokenStream
from trainer.recipe.loader import (
    CoprimeStride,
    DocumentPacking,
    DocumentRows,
    LengthUntil,
    LoaderRecipe,
    Sequential,
    ShuffledWindows,
)
from trainer.recipe.strict import RecipeConflict
from trainer.runtime.failure import DataRefused

WINDOW = 8
BEGIN = 1
RANDOM = [ShuffledWindows(kind="shuffled_windows"), CoprimeStride(kind="coprime_stride", first_shards=2, last_shards=4)]
PACKING = DocumentPacking(kind="document_packing")
ALL = [Sequential(), *RANDOM, PACKING]
SIZES = (100, 9, 8, 333, 57)
# The last token of a shard is only ever a target.
WINDOWS = [(size - 1) // WINDOW for size in SIZES]


def order(recipe: LoaderRecipe, stream: TokenStream, seed: int = 1, batch_tokens: int = 3 * WINDOW) -> WindowOrder:
    schedule = small_recipe(schedule__micro_batch_tokens="null", schedule__sequence_tokens=4).schedule
    schedule = replace(schedule, batch_tokens=batch_tokens)
    schedule = replace(schedule, loader=recipe, sequence_tokens=4 if isinstance(recipe, DocumentRows) else WINDOW)
    return make_order(schedule, stream, seed, BEGIN)


def kind(recipe: LoaderRecipe) -> str:
    return recipe.kind


@pytest.mark.parametrize("recipe", ALL, ids=kind)
def test_an_order_continues_from_its_state(recipe: LoaderRecipe, tmp_path: Path) -> None:
    stream = counting_stream(tmp_path, *SIZES)
    steady, resumed = order(recipe, stream), order(recipe, stream)
    for size in (5, 40, 3, 70, 1, 20):  # more than two epochs
        state: dict[str, Any] = json.loads(json.dumps(steady.state()))
        expected = steady.draw(size)
        assert len(expected) == size
        resumed = order(recipe, stream)
        resumed.restore(state)
        np.testing.assert_array_equal(resumed.draw(size), expected)


@pytest.mark.parametrize("recipe", RANDOM, ids=kind)
def test_an_epoch_has_every_window_once_and_none_crosses_a_shard(recipe: LoaderRecipe, tmp_path: Path) -> None:
    stream = counting_stream(tmp_path, *SIZES)
    drawn: Any = order(recipe, stream)
    for _ in range(3):
        shards: Counter[int] = Counter()
        seen: set[int] = set()
        # An offset may leave too little at a shard's end for its last window.
        for _ in range(len(drawn.windows) if isinstance(recipe, ShuffledWindows) else sum(WINDOWS)):
            (position,) = drawn.draw(1)
            tokens = stream.read(int(position), WINDOW + 1)
            np.testing.assert_array_equal(tokens, np.arange(position, position + WINDOW + 1))
            shard = int(np.searchsorted(stream.starts, position, side="right")) - 1
            assert position + WINDOW < stream.starts[shard + 1]
            assert seen.isdisjoint(tokens[:-1].tolist())
            seen.update(tokens[:-1].tolist())
            shards[shard] += 1
        for shard, most in enumerate(WINDOWS):
            assert most - isinstance(recipe, ShuffledWindows) <= shards[shard] <= most
            assert most > 1 or shards[shard] == most, "the only window of a short shard is never lost"


@pytest.mark.parametrize("recipe", RANDOM, ids=kind)
def test_the_seed_and_the_epoch_change_the_order(recipe: LoaderRecipe, tmp_path: Path) -> None:
    stream = counting_stream(tmp_path, 4001)
    first, again, other = order(recipe, stream), order(recipe, stream), order(recipe, stream, seed=2)
    one = first.draw(490)
    np.testing.assert_array_equal(again.draw(490), one)
    assert (other.draw(490) != one).mean() > 0.9
    assert (first.draw(490) != one).mean() > 0.9
    assert np.corrcoef(one, np.arange(490))[0, 1] < 0.3


def test_sequential_is_contiguous_and_wraps_around(tmp_path: Path) -> None:
    stream = counting_stream(tmp_path, 30, 34)
    drawn = order(Sequential(), stream)
    inputs = [stream.read(int(start), WINDOW + 1) for start in np.concatenate([drawn.draw(3), drawn.draw(13)])]
    assert np.concatenate([tokens[:-1] for tokens in inputs]).tolist() == [*range(64), *range(64)]
    assert [tokens[-1] for tokens in inputs[:2]] == [8, 16]


def test_coprime_stride_mixes_more_shards_as_the_epoch_goes_on(tmp_path: Path) -> None:
    stream = counting_stream(tmp_path, *[1000] * 12)
    recipe = CoprimeStride(kind="coprime_stride", first_shards=2, last_shards=6)
    drawn = order(recipe, stream)
    shards_a_step = [len({int(start) // 1000 for start in drawn.draw(12)}) for _ in range(120)]
    assert shards_a_step[0] == 2
    assert sorted({*shards_a_step[:115]}) == [2, 3, 4, 5, 6]
    assert shards_a_step[110] == 6


def test_a_stride_shares_no_divisor_with_the_windows(tmp_path: Path) -> None:
    stream = counting_stream(tmp_path, *(1 + WINDOW * count for count in (1, 2, 6, 12, 30, 60, 7)))
    drawn: Any = order(CoprimeStride(kind="coprime_stride"), stream)
    for permutation in drawn.permutations:
        positions = {permutation.position(number, WINDOW) for number in range(permutation.windows)}
        assert len(positions) == permutation.windows


@pytest.mark.parametrize("recipe", RANDOM, ids=kind)
def test_shards_too_short_for_a_window_are_refused(recipe: LoaderRecipe, tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="9 tokens"):
        order(recipe, counting_stream(tmp_path, 8, 3))


def test_packing_begins_at_the_first_document(tmp_path: Path) -> None:
    shards = [write_shard(tmp_path / "a.bin", [7, 8, 9]), write_shard(tmp_path / "b.bin", [5, BEGIN, 6, 7, BEGIN])]
    assert order(PACKING, TokenStream(shards)).draw(2).tolist() == [4, 12]
    with pytest.raises(DataRefused, match="begins a document"):
        order(PACKING, TokenStream(shards[:1]))


def test_segments_begin_with_rows_and_documents_and_within_long_ones() -> None:
    x_BT = torch.tensor([[5, 1, 6, 7, 1, 1, 8], [1, 2, 3, 4, 5, 6, 7]])
    whole = [0, 1, 4, 5, 7, 14]
    assert segment_bounds(x_BT, BEGIN, None).tolist() == whole[:-1] + [14] * 60
    assert segment_bounds(x_BT, BEGIN, 3).tolist() == [0, 1, 4, 5, 7, 10, 13] + [14] * 58
    assert len(segment_bounds(torch.full((1, 64), BEGIN), BEGIN, 3)) == 65
    assert len(segment_bounds(torch.full((1, 65), BEGIN), BEGIN, 3)) == 129


HALF = LengthUntil(until=0.5, tokens=4)
ROWS = DocumentRows(kind="document_rows", row_tokens=4, longest=4)


def test_rows_follow_the_published_cursor(tmp_path: Path) -> None:
    """Steps of three rows of 4 + 1 tokens: each shard from its first document on, without a rest that is too short."""
    shards = [[7, BEGIN, *range(20, 54)], [9, 9], [5, 6, BEGIN, *range(60, 76)]]
    stream = TokenStream([write_shard(tmp_path / f"{n}.bin", tokens) for n, tokens in enumerate(shards)])
    drawn = order(ROWS, stream, batch_tokens=12)
    expected = [[1, 6, 11], [16, 21, 26], [40, 45, 50], [1, 6, 11]]  # 36 + 2 tokens stand before the third shard
    assert [drawn.draw(3).tolist() for _ in expected] == expected


def test_rows_are_refused_where_no_shard_holds_a_step(tmp_path: Path) -> None:
    stream = TokenStream([write_shard(tmp_path / "a.bin", [7, BEGIN, *range(20, 33)])])
    with pytest.raises(DataRefused, match=r"15 tokens from its first document \(token 1\) on"):
        order(ROWS, stream, batch_tokens=12)
    assert order(ROWS, stream, batch_tokens=8).draw(2).tolist() == [1, 6]
    with pytest.raises(DataRefused, match="first document"):
        order(ROWS, TokenStream([write_shard(tmp_path / "b.bin", [5] * 90)]), batch_tokens=8)


@pytest.mark.parametrize(
    ("longest", "message"),
    [
        (9, "longest 9 is more than row_tokens 8"),
        ((LengthUntil(until=0.5, tokens=4), LengthUntil(until=1.0, tokens=9)), "longest 9 is more than row_tokens 8"),
        (
            (LengthUntil(until=0.5, tokens=4), LengthUntil(until=0.5, tokens=8)),
            r"until \[0.5, 0.5\], expected a list of {until, tokens} whose until rises to 1",
        ),
        ((LengthUntil(until=0.5, tokens=4),), r"until \[0.5\], expected"),
        ((), r"until \[\], expected"),
    ],
)
def test_lengths_beyond_the_row_or_in_no_order_are_refused(longest: Any, message: str) -> None:
    with pytest.raises(RecipeConflict, match=message):
        DocumentRows(kind="document_rows", row_tokens=8, longest=longest)


def test_whole_documents_longer_than_a_row_are_refused_before_training(tmp_path: Path) -> None:
    stream = TokenStream([write_shard(tmp_path / "a.bin", [7, BEGIN, *range(20, 22), BEGIN, *range(20, 33)])])
    whole = DocumentRows(kind="document_rows", row_tokens=8)
    with pytest.raises(DataRefused, match=r"a.bin: the document at token 4 has 14 tokens, more than the 8 of a row"):
        order(whole, stream, batch_tokens=8)
    assert order(replace(whole, longest=8), stream, batch_tokens=8).draw(1).tolist() == [1]
