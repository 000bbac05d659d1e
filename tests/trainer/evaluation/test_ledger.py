"""The ledger is written once, in order, and gives out only scored tokens."""

import math

import numpy as np
import pytest

from trainer.evaluation.ledger import LedgerViolation, ScoreLedger, bits_per_byte

TOKENS = np.arange(11, dtype=np.uint16)


def scores(count: int, value: float = 1.0) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    return np.full(count, value, dtype=np.float32)


def test_totals_need_every_target() -> None:
    ledger = ScoreLedger(TOKENS)
    ledger.commit(0, scores(4))
    with pytest.raises(LedgerViolation, match="only 4 of 10"):
        ledger.totals()
    ledger.commit(4, scores(6, 2.0))
    assert ledger.totals() == (16.0, 10)


@pytest.mark.parametrize(("start", "count"), [(3, 1), (5, 1), (4, 7), (0, 4)])
def test_a_score_twice_early_or_beyond_the_end_is_refused(start: int, count: int) -> None:
    ledger = ScoreLedger(TOKENS)
    ledger.commit(0, scores(4))
    with pytest.raises(LedgerViolation):
        ledger.commit(start, scores(count))
    assert ledger.committed == 4


def test_a_score_that_is_not_finite_is_refused() -> None:
    with pytest.raises(LedgerViolation, match="not finite"):
        ScoreLedger(TOKENS).commit(0, scores(1, float("nan")))


def test_adaptation_gets_scored_tokens_only() -> None:
    ledger = ScoreLedger(TOKENS)
    ledger.commit(0, scores(4))  # tokens 1 to 4
    assert ledger.adaptation_tokens(0, 5).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(LedgerViolation, match="token 5"):
        ledger.adaptation_tokens(0, 6)


def test_bits_per_byte_by_hand() -> None:
    assert bits_per_byte(8 * math.log(2), 4) == pytest.approx(2.0)
