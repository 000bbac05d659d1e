"""The n-gram model that results are set beside is a probability distribution, and the formula's."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.text_references import KneserNey

BITS, ORDER = 3, 3


@pytest.fixture(scope="module")
def symbols() -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return a stream with structure: each symbol leans on the two before it."""
    chance = np.random.default_rng(4)
    stream = [0, 1]
    for _ in range(600):
        lean = (stream[-1] + 2 * stream[-2]) % 7  # symbol 7 never comes
        stream.append(int(lean if chance.random() < 0.6 else chance.integers(7)))
    return np.array(stream)


@pytest.mark.parametrize("history", [(0, 1), (6, 6), (3, 2), (7, 7), (1, 7)], ids=str)
def test_probabilities_of_all_symbols_add_up_to_one(
    symbols: "np.ndarray[tuple[int], np.dtype[np.int64]]", history: tuple[int, int]
) -> None:
    model = KneserNey(symbols, ORDER, BITS)
    total = sum(np.exp(-model.nats(np.array([*history, symbol]))) for symbol in range(1 << BITS))
    assert total == pytest.approx(1.0)


def test_it_is_interpolated_kneser_ney_written_out(symbols: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> None:
    stream = symbols.tolist()
    tables: dict[int, Counter[tuple[int, ...]]] = {
        ORDER: Counter(tuple(stream[i : i + ORDER]) for i in range(len(stream) - ORDER + 1))
    }
    for length in (2, 1):
        tables[length] = Counter(gram[1:] for gram in tables[length + 1])

    def probability(gram: tuple[int, ...]) -> float:
        if not gram:
            return 1 / (1 << BITS)
        table, history = tables[len(gram)], gram[:-1]
        seen = {key: count for key, count in table.items() if key[:-1] == history}
        if not seen:
            return probability(gram[1:])
        counts = Counter(table.values())
        discount = counts[1] / (counts[1] + 2 * counts[2]) if counts[1] and counts[2] else 0.5
        own = max(seen.get(gram, 0) - discount, 0.0)
        return (own + discount * len(seen) * probability(gram[1:])) / sum(seen.values())

    model = KneserNey(symbols, ORDER, BITS)
    for gram in [(0, 1, 2), (5, 6, 2), (6, 0, 6), (3, 3, 7), (7, 1, 1)]:
        assert np.exp(-model.nats(np.array(gram))) == pytest.approx(probability(gram))
