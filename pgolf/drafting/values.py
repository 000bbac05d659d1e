"""Values that a script's variables have, each with its place."""

from dataclasses import dataclass

OFF_WORDS = ("", "0", "0.0", "false", "none", "no", "off")


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A value that a script uses, and where it comes from."""

    name: str
    text: str
    place: str

    @property
    def value(self) -> float | str:
        """The text as a number if it is one; True and False are 1 and 0."""
        words = {"True": "1", "False": "0"}.get(self.text, self.text).strip("'\"").replace("_", "")
        try:
            return float(words)
        except ValueError:
            return self.text.strip("'\"")

    @property
    def is_off(self) -> bool:
        """Whether the value switches something off: zero, false, none or nothing."""
        return self.text.strip("'\"").lower() in OFF_WORDS
