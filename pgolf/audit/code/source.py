"""The Python source of a submission folder, unwrapped and parsed."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pgolf.audit.stand_ins import find_script
from pgolf.scripts.source import MOST_TOTAL_TOKENS, TooLarge, count_tokens, decode_source, parse_source, read_source
from pgolf.scripts.unwrapping import layers, runs_unknown

MAX_FILES = 200


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One Python file; if it unpacks itself, the unpacked program."""

    name: str
    """Its path in the folder, with `!unwrapped` for an unpacked program."""
    module: str
    """The name by which other files import it."""
    tree: ast.Module
    text: str
    is_main: bool

    def place(self, node: ast.AST) -> str:
        """Return file:line of a node."""
        return f"{self.name}:{getattr(node, 'lineno', 1)}"


@dataclass(slots=True)
class Sources:
    """The files of a folder that could be parsed, and the reasons why others could not."""

    files: list[SourceFile] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Files that cannot be parsed, with the error."""
    too_large: dict[str, str] = field(default_factory=dict)
    """Files that are, or unpack to, more than is read, with what is how large."""
    opaque: list[str] = field(default_factory=list)
    """Files that run code which cannot be unpacked without executing it."""
    wrapped: list[str] = field(default_factory=list)
    """Files that unpack themselves."""


def read_sources(folder: Path) -> Sources:
    """Read the Python files of a folder without executing them or following links out of it."""
    sources = Sources()
    paths = list(python_files(folder))
    mains = main_files(folder, paths)
    left = MOST_TOTAL_TOKENS
    for path in sorted(paths, key=lambda path: path not in mains):
        name = path.relative_to(folder).as_posix()
        try:
            texts = layers(decode_source(read_source(path)))
            left -= count_tokens(texts[-1])
            if left < 0:
                raise TooLarge(f"the folder's files have more than {MOST_TOTAL_TOKENS:,} tokens up to this one")
            tree = parse_source(texts[-1])
            is_opaque = runs_unknown(tree)
        except TooLarge as error:
            sources.too_large[name] = str(error)
            continue
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
            sources.broken[name] = describe_error(error)
            continue
        if len(texts) > 1:
            sources.wrapped.append(name)
        if is_opaque:
            sources.opaque.append(name)
        shown = name + "!unwrapped" * (len(texts) > 1)
        sources.files.append(SourceFile(shown, path.stem, tree, texts[-1], path in mains))
    return sources


def describe_error(error: Exception) -> str:
    """Return an error in one line."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}, column {error.offset}: {error.msg}"
    return f"{type(error).__name__}: {error}"


def python_files(folder: Path) -> Iterator[Path]:
    """Yield the Python files below a folder in order, at most MAX_FILES."""
    root = folder.resolve()
    found = 0
    for path in sorted(folder.rglob("*.py")):
        if path.is_file() and root in path.resolve().parents and found < MAX_FILES:
            found += 1
            yield path


def main_files(folder: Path, paths: list[Path]) -> list[Path]:
    """Return the program that is run: the training script; none if there is no file."""
    script = find_script(path.relative_to(folder).as_posix() for path in paths)
    return [] if script is None else [folder / script]
