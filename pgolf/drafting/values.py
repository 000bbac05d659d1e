"""Values that a script's variables have, each with its place."""

from dataclasses import dataclass
from math import isfinite

OFF_WORDS = ("", "0", "0.0", "false", "none", "no", "off")


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A value that a script uses, and where it comes from."""

    name: str
    text: str
    place: str

    @property
    def value(self) -> float | str:
        """The text as a finite number if it is one; True and False are 1 and 0."""
        number = self.number
        return number if number is not None and isfinite(number) else self.text.strip("'\"")

    @property
    def number(self) -> float | None:
        """The text as a number, which may be infinite or not a number; None if it is a text."""
        words = {"True": "1", "False": "0"}.get(self.text, self.text).strip("'\"").replace("_", "")
        try:
            return float(words)
        except ValueError:
            return None

    @property
    def is_off(self) -> bool:
        """Return whether the value switches something off: zero, false, none or nothing."""
        return self.text.strip("'\"").lower() in OFF_WORDS
