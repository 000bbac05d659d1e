"""CaseOps: text without capitals, in which operators say what was capital. Every text comes back exactly.

A run of ASCII letters is written in small letters. CAPITALS stands before a run of capitals, TITLE before a run whose
first letter alone is a capital; in other runs TITLE stands before a first capital and CAPITAL before each later one.
An operator of the text itself is written after ESCAPE.
Source: openai/parameter-golf #1729, lossless_caps.py.
"""

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.recipe.data import PieceBytes, piece_bytes

TITLE, CAPITALS, CAPITAL, ESCAPE = OPERATORS = ("\ue001", "\ue002", "\ue003", "\ue004")
OPERATOR_BYTES = len(TITLE.encode())
SOURCE = re.compile(f"[{TITLE}-{ESCAPE}]|[A-Za-z]+")
TARGET = re.compile(f"{ESCAPE}(.?)|{CAPITALS}([a-z]*)|[{TITLE}{CAPITAL}](.?)", re.DOTALL)


class NotCaseOps(ValueError):
    """`to_caseops` makes this of no text, or a tokenizer cannot write what it makes; says why."""


def to_caseops(text: str) -> str:
    """Return a text with operators in place of capitals."""
    return SOURCE.sub(lambda found: rewritten(found[0]), text)


def rewritten(run: str) -> str:
    """Return a run of letters, or an operator, as CaseOps writes it."""
    if run in OPERATORS:
        return ESCAPE + run
    if run.islower():
        return run
    if len(run) > 1 and run.isupper():
        return CAPITALS + run.lower()
    first = TITLE if run[0].isupper() else ""
    return first + run[0].lower() + re.sub("[A-Z]", lambda capital: CAPITAL + capital[0].lower(), run[1:])


def from_caseops(text: str) -> str:
    """Return the text from which `to_caseops` made this one.

    Raises:
        NotCaseOps: there is none: an operator applies to nothing, or the text is written in another way.
    """
    original = TARGET.sub(restored, text)
    if to_caseops(original) != text:
        raise NotCaseOps("the text is not written as CaseOps writes it")
    return original


def restored(found: re.Match[str]) -> str:
    """Return what an operator and what it applies to stand for."""
    escaped, capitals, letter = found.groups()
    if escaped in OPERATORS:
        return str(escaped)
    if capitals:
        return str(capitals.upper())
    if letter is not None and "a" <= letter <= "z":
        return str(letter.upper())
    raise NotCaseOps(f"U+{ord(found[0][0]):04X} at character {found.start():,} applies to nothing")


class CaseOpsBytes:
    """Bytes of the original text that each token stands for, by what it is made of.

    An operator stands for none, or for its own bytes after an escape; anything else for as many as ever.
    """

    def __init__(self, tokenizer: Any) -> None:
        pieces = [tokenizer.id_to_piece(token) for token in range(tokenizer.get_piece_size())]
        if missing := [operator for operator in OPERATORS if operator not in pieces]:
            raise NotCaseOps(f"the tokenizer has no piece U+{ord(missing[0]):04X}, which CaseOps needs")
        mixed = [piece for piece in pieces if piece not in OPERATORS and not set(OPERATORS).isdisjoint(piece)]
        if mixed:
            raise NotCaseOps(
                f"the tokenizer has a piece of an operator and more, {mixed[0]!r}, which CaseOps cannot count"
            )
        facts = [PieceBytes() if piece in OPERATORS else piece_bytes(tokenizer, n) for n, piece in enumerate(pieces)]
        self.own = np.array([fact.own for fact in facts], dtype=np.uint16)
        self.has_space = np.array([fact.has_space for fact in facts])
        self.is_boundary = np.array([fact.is_boundary for fact in facts])
        self.is_operator = np.array([piece in OPERATORS for piece in pieces])
        self.escape = pieces.index(ESCAPE)

    def of(self, tokens: NDArray[np.integer[Any]]) -> NDArray[np.uint16]:
        """Return the bytes of each token; before the first one stands a boundary. Shapes: (n,) -> (n,)."""
        after_boundary = np.append(True, self.is_boundary[tokens[:-1]])[: len(tokens)]
        counts = self.own[tokens] + (self.has_space[tokens] & ~after_boundary)
        counts[self.escaped(tokens)] = OPERATOR_BYTES
        return np.asarray(counts, dtype=np.uint16)

    def escaped(self, tokens: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the positions of operators that follow an escape which is not escaped itself."""
        found, last = [], -1
        for position in np.flatnonzero(tokens == self.escape).tolist():
            if position != last and position + 1 < len(tokens) and self.is_operator[tokens[position + 1]]:
                last = position + 1
                found.append(last)
        return np.array(found, dtype=np.int64)

    def first_wrong(
        self, tokens: NDArray[np.integer[Any]], counts: NDArray[np.integer[Any]], begin: int
    ) -> "WrongCount | None":
        """Return the first document whose bytes by a sidecar are not those that its tokens stand for, or None."""
        starts = np.flatnonzero(tokens == begin)
        starts = np.append(0, starts[starts > 0])
        found_D, right_D = (np.add.reduceat(x.astype(np.int64), starts) for x in (counts, self.of(tokens)))
        wrong = np.flatnonzero(found_D != right_D)
        return WrongCount(*(int(x[wrong[0]]) for x in (starts, found_D, right_D))) if len(wrong) else None


class WrongCount(NamedTuple):
    """A document whose bytes by a sidecar are not those of its text."""

    position: int
    """Position of its first token."""
    found: int
    right: int

    def __str__(self) -> str:
        return (
            f"the document at token {self.position:,} has {self.found:,} bytes by its sidecar, and its tokens stand "
            f"for {self.right:,}; bits per byte would be wrong"
        )
