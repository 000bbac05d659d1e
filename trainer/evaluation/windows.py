"""Which window scores which targets."""

from collections.abc import Iterator
from dataclasses import dataclass

from trainer.recipe.evaluation import Chunked, EvaluationRecipe, Sliding


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


def windows(recipe: EvaluationRecipe, targets: int) -> Iterator[Window]:
    """Windows in order that score each of the targets exactly once, the tail included."""
    match recipe:
        case Chunked():
            for start in range(0, targets, recipe.window):
                length = min(recipe.window, targets - start)
                yield Window(start, length, length)
        case Sliding():
            yield from sliding_windows(recipe, targets)


def sliding_windows(recipe: Sliding, targets: int) -> Iterator[Window]:
    """A first window that scores all it sees, then full windows that score `stride` more targets each.

    The last one ends at the last target and scores what is left; the published loops score its targets up to 31 times.
    """
    first = min(recipe.window, targets)
    yield Window(0, first, first)
    scored = first
    while scored < targets:
        stride = min(recipe.stride, targets - scored)
        scored += stride
        yield Window(scored - recipe.window, recipe.window, stride)
