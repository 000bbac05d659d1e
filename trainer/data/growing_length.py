"""The longest part of a document, which may change during training, and the learning rate after each change."""

from typing import Any

from trainer.recipe.loader import DocumentRows


class GrowingLength:
    """What a row's documents are cut to.

    After each change the learning rate climbs from a small share back to its schedule.
    Source: openai/parameter-golf #2014.
    """

    def __init__(self, loader: DocumentRows) -> None:
        self.loader = loader
        self.longest = loader.longest_at(0.0)
        self.changed_at: int | None = None

    def follow_progress(self, progress: float, step: int) -> None:
        """Take the length for this share of the training budget. Called before each step."""
        longest = self.loader.longest_at(progress)
        if longest != self.longest:
            self.longest, self.changed_at = longest, step

    def lr_share(self, step: int) -> float:
        """Return the share of the scheduled learning rate that a step gets."""
        if self.changed_at is None or not self.loader.rewarm_steps:
            return 1.0
        return min(1.0, (step - self.changed_at + 1) / self.loader.rewarm_steps)

    def state(self) -> dict[str, Any]:
        return {"longest": self.longest, "changed_at": self.changed_at}

    def restore(self, state: dict[str, Any]) -> None:
        self.longest, self.changed_at = state["longest"], state["changed_at"]
