"""The ledger of documents: an announced order, each target once, and only scored tokens to learn from."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.evaluation.document_ledger import DocumentLedger, Span
from trainer.evaluation.ledger import LedgerViolation

TOKENS = np.arange(100, 111, dtype=np.uint16)
FIRST, SECOND, THIRD = (0, 3), (3, 5), (5, 10)


def scores(count: int, value: float = 1.0) -> NDArray[np.float32]:
    return np.full(count, value, dtype=np.float32)


def announced(*rounds: list[Span]) -> DocumentLedger:
    ledger = DocumentLedger(TOKENS, padding=4)
    ledger.announce(rounds)
    return ledger


def test_documents_of_a_round_advance_side_by_side_and_rounds_one_after_another() -> None:
    ledger = announced([FIRST, THIRD], [SECOND])
    ledger.commit(5, scores(2))
    ledger.commit(0, scores(3, 2.0))
    with pytest.raises(LedgerViolation, match=r"targets 3..3, expected to begin at 7"):
        ledger.commit(3, scores(1))
    ledger.commit(7, scores(3))
    ledger.commit(3, scores(2, 4.0))
    assert ledger.totals() == (2 * 3 + 4 * 2 + 5, 10)
    assert ledger.order is not None
    assert (ledger.order.tolist(), str(ledger.order.dtype)) == ([0, 2, 1], "int32")


def test_the_order_of_the_text_is_not_kept() -> None:
    assert announced([FIRST, SECOND], [THIRD]).order is None


@pytest.mark.parametrize(
    ("start", "count"),
    [(0, 4), (1, 1), (5, 1), (0, 0), (3, 3)],
    ids=["beyond the document", "a gap", "a later round", "nothing", "two documents"],
)
def test_a_commit_that_does_not_continue_a_document_is_refused(start: int, count: int) -> None:
    ledger = announced([FIRST, SECOND], [THIRD])
    with pytest.raises(LedgerViolation):
        ledger.commit(start, scores(count))
    assert ledger.committed == 0


def test_a_second_score_and_one_that_is_not_finite_are_refused() -> None:
    ledger = announced([FIRST], [SECOND], [THIRD])
    ledger.commit(0, scores(2))
    with pytest.raises(LedgerViolation):
        ledger.commit(0, scores(2))
    with pytest.raises(LedgerViolation, match="not finite"):
        ledger.commit(2, scores(1, float("nan")))


def test_only_scored_tokens_are_given_out() -> None:
    """Target i is token i + 1."""
    ledger = announced([FIRST, THIRD], [SECOND])
    ledger.commit(5, scores(2))
    assert ledger.adaptation_tokens(6, 8).tolist() == [106, 107]
    for start, stop, missing in ((6, 9, 8), (5, 8, 5), (1, 2, 1)):
        with pytest.raises(LedgerViolation, match=f"token {missing} "):
            ledger.adaptation_tokens(start, stop)
    assert ledger.adaptation_tokens(0, 1).tolist() == [100]


def test_zeros_after_the_text_are_no_tokens() -> None:
    ledger = announced([FIRST, SECOND, THIRD])
    for start, stop in (FIRST, SECOND, THIRD):
        ledger.commit(start, scores(stop - start))
    assert ledger.adaptation_tokens(8, 11).tolist() == [108, 109, 110]
    with pytest.raises(LedgerViolation, match="token 11 "):
        ledger.adaptation_tokens(8, 12)
    with pytest.raises(LedgerViolation):
        ledger.commit(10, scores(1))


@pytest.mark.parametrize(
    "rounds",
    [
        [[FIRST, THIRD]], [[FIRST, SECOND, SECOND, THIRD]], [[(0, 4), (3, 5), (5, 10)]], [[FIRST, SECOND, (5, 11)]],
        [[FIRST, SECOND, (5, 9)]], [],
    ],
)  # fmt: skip
def test_an_order_has_each_target_once(rounds: list[list[Span]]) -> None:
    with pytest.raises(LedgerViolation, match="each target once"):
        DocumentLedger(TOKENS).announce(rounds)


def test_an_order_cannot_be_changed_after_the_first_score() -> None:
    ledger = announced([FIRST, SECOND, THIRD])
    ledger.commit(3, scores(1))
    with pytest.raises(LedgerViolation, match="before the first score"):
        ledger.announce([[THIRD], [SECOND], [FIRST]])
