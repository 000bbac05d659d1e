"""The methods that a submission names: in its folder's name, submission.json, README and script."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgolf.records.folder import MAIN, is_inside
from pgolf.scripts.methods import in_words, named_methods
from trainer.recipe.reading import open_regular

# What a submission says of itself comes first; further down, a README speaks of what it compares with or gave up.
README_BYTES = 2_000
SUBMISSION_BYTES = 64_000
# The longest public script has 200 KB.
SCRIPT_BYTES = 1_000_000
NEGATION = re.compile(r"\b(?:no|not|non|without|w/o|instead of|drops?|removed?) (?:\w+ )?$")
SCRIPT_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Mention:
    """The first place where a submission names a method."""

    method: str
    file: str
    line: int | None
    """None for the name of the folder."""

    @property
    def place(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


def mentions_in(folder: Path) -> list[Mention]:
    """Return the methods that a submission names, each with the first place: its own words before its script's."""
    found: dict[str, Mention] = {}
    for mention in (
        *mentions(folder.resolve().name, "the folder's name", has_lines=False),
        *mentions(text_of(folder, "submission.json", SUBMISSION_BYTES), "submission.json"),
        *mentions(text_of(folder, "README.md", README_BYTES), "README.md"),
        *mentions(code_names(text_of(folder, MAIN, SCRIPT_BYTES)), MAIN),
    ):
        found.setdefault(mention.method, mention)
    return list(found.values())


def mentions(text: str, file: str, has_lines: bool = True) -> Iterator[Mention]:
    """Yield the methods that a text names and does not negate."""
    words = in_words(text).replace("-", " ")
    for method, match in named_methods(words):
        if not NEGATION.search(words[max(0, match.start() - 30) : match.start()]):
            yield Mention(method, file, words.count("\n", 0, match.start()) + 1 if has_lines else None)


def code_names(script: str) -> str:
    """Return the names in each line of a script, without comments."""
    return "\n".join(" | ".join(SCRIPT_NAME.findall(line.partition("#")[0])) for line in script.splitlines())


def text_of(folder: Path, name: str, most: int) -> str:
    """Return the beginning of a file in a folder; empty if it is not there or leads outside."""
    path = folder / name
    try:
        if not is_inside(path, folder):
            return ""
        with open_regular(path) as file:
            return file.read(most).decode(errors="replace")
    except (OSError, ValueError):
        return ""
