"""Which window scores which targets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trainer.recipe.evaluation import Chunked, Documents, Sliding


@dataclass(frozen=True, slots=True)
class Window:
    """A forward pass over the input tokens start .. start + length - 1, whose last `scored` targets count."""

    start: int
    length: int
    scored: int

    @property
    def first_target(self) -> int:
        """The first target it scores, from 0; target i is token i + 1."""
        return self.start + self.length - self.scored


def windows(recipe: Chunked | Sliding | Documents, targets: int, begins: Sequence[int] = (0,)) -> Iterator[Window]:
    """Windows in order that score each of the targets exactly once, the tail included. `begins` are the places of the
    tokens that begin a document, the first token's among them.
    """
    match recipe:
        case Chunked():
            for start in range(0, targets, recipe.window):
                length = min(recipe.window, targets - start)
                yield Window(start, length, length)
        case Sliding():
            yield from sliding_windows(recipe.window, recipe.stride, targets)
        case Documents():
            for start, stop in document_spans(begins, targets):
                for window in sliding_windows(recipe.window, recipe.stride, stop - start):
                    yield replace(window, start=start + window.start)


def document_spans(begins: Sequence[int], targets: int) -> Iterator[tuple[int, int]]:
    """First and last-but-one target of each document. The token that begins a document is the last target of the one
    before it.
    """
    inside = [begin for begin in begins if begin < targets]
    yield from zip(inside, [*inside[1:], targets], strict=True)


def sliding_windows(window: int, stride: int, targets: int) -> Iterator[Window]:
    """A first window that scores all it sees, then full windows that score `stride` more targets each.

    The last one ends at the last target and scores what is left; the published loops score its targets up to 31 times.
    """
    first = min(window, targets)
    yield Window(0, first, first)
    scored = first
    while scored < targets:
        new = min(stride, targets - scored)
        scored += new
        yield Window(scored - window, window, new)
