"""Windows over a text: which window scores which targets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trainer.recipe.evaluation import Chunked, Documents, Sliding


@dataclass(frozen=True, slots=True)
class Window:
    """A forward pass over the input tokens start .. start + length - 1.

    It scores its last `scored` targets. Only the first `kept` of those count; the others lie beyond the text.
    """

    start: int
    length: int
    scored: int
    kept: int

    @property
    def first_target(self) -> int:
        """First target that it scores, from 0; target i is token i + 1."""
        return self.start + self.length - self.scored


def windows(recipe: Chunked | Sliding | Documents, targets: int, starts: Sequence[int] = (0,)) -> Iterator[Window]:
    """Yield windows, in order, that score each of `targets` targets exactly once.

    `tail: drop`, which only published specs have, leaves out targets before this: see `ValidationText.scored_by`.

    `starts` are the positions at which documents begin, 0 among them.
    """
    match recipe:
        case Chunked():
            for start in range(0, targets, recipe.window):
                length = min(recipe.window, targets - start)
                yield Window(start, length, length, length)
        case Sliding():
            yield from sliding_windows(recipe.window, recipe.stride, targets)
        case Documents():
            for start, stop in document_spans(starts, targets):
                yield from document_windows(recipe.window, recipe.stride, start, stop, targets)


def document_spans(starts: Sequence[int], targets: int) -> Iterator[tuple[int, int]]:
    """Yield the targets of each document as start and stop (exclusive).

    The token that begins a document is the last target of the document before it.
    """
    inside = [begin for begin in starts if begin < targets]
    yield from zip(inside, [*inside[1:], targets], strict=True)


def sliding_windows(window: int, stride: int, targets: int) -> Iterator[Window]:
    """Yield a first window that scores all its targets, then full windows that score `stride` more each.

    The last window ends at the last target and scores what is left. Published loops score the last targets up to 31
    times.
    """
    first = min(window, targets)
    yield Window(0, first, first, first)
    scored = first
    while scored < targets:
        new = min(stride, targets - scored)
        scored += new
        yield Window(scored - window, window, new, new)


def document_windows(window: int, stride: int, start: int, stop: int, targets: int) -> Iterator[Window]:
    """Yield windows over one document, the targets start .. stop - 1 of a stream.

    Windows double in length until one is full; each later window scores `stride` more targets. No position or shape
    depends on where the document ends, because that must not be known before scoring. The last window may therefore
    extend beyond the end; its scores there do not count.
    """
    first = start
    while first < stop:
        seen = first - start
        new = min(max(stride, seen), window - seen) if seen < window else stride
        yield window_from(first, new, max(start, first + new - window), stop, targets)
        first += new


def window_from(first: int, new: int, begin: int, stop: int, targets: int) -> Window:
    """Return a window that begins at `begin` and scores `new` targets from `first` on; those before `stop` count."""
    end = min(first + new, targets)
    return Window(begin, end - begin, end - first, min(end, stop) - first)
