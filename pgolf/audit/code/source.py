"""The source text of a submission folder, as trees."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pgolf.report.records.folder import MAIN
from pgolf.scripts.unwrapping import TooLarge, decode_source, layers, runs_unknown

MOST_BYTES = 4_000_000
MOST_FILES = 200


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One Python file, unwrapped."""

    name: str
    """Its path in the folder; of an unwrapped one, with a word about the layer."""
    module: str
    """The name by which others import it."""
    tree: ast.Module
    text: str
    is_main: bool

    def place(self, node: ast.AST) -> str:
        """file:line."""
        return f"{self.name}:{getattr(node, 'lineno', 1)}"


@dataclass(slots=True)
class Sources:
    """What could be read of a folder, and why the rest could not."""

    files: list[SourceFile] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Syntax errors and bombs, by file."""
    opaque: list[str] = field(default_factory=list)
    """Files that run what could not be unpacked."""
    wrapped: list[str] = field(default_factory=list)
    """Files that unpack themselves."""


def read_sources(folder: Path) -> Sources:
    """All Python files of a folder. Links that lead out of it are not followed, nothing is executed."""
    sources = Sources()
    paths = list(python_files(folder))
    mains = main_files(folder, paths)
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            if path.stat().st_size > MOST_BYTES:
                raise TooLarge
            texts = layers(decode_source(path.read_bytes()))
            tree = ast.parse(texts[-1])
        except TooLarge:
            sources.broken[name] = "unpacks to more bytes than any program has"
            continue
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
            sources.broken[name] = describe(error)
            continue
        if len(texts) > 1:
            sources.wrapped.append(name)
        if runs_unknown(tree):
            sources.opaque.append(name)
        shown = name + "!unwrapped" * (len(texts) > 1)
        sources.files.append(SourceFile(shown, path.stem, tree, texts[-1], path in mains))
    return sources


def describe(error: Exception) -> str:
    """What is wrong, in a line."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    return f"{type(error).__name__}: {error}"


def python_files(folder: Path) -> Iterator[Path]:
    """Python files of a folder in order, a bounded number of them; a single file is its own folder's only one."""
    root = folder.resolve()
    found = 0
    for path in sorted(folder.rglob("*.py")):
        if path.is_file() and root in path.resolve().parents and found < MOST_FILES:
            found += 1
            yield path


def main_files(folder: Path, paths: list[Path]) -> list[Path]:
    """The programs that are run: train_gpt.py, or else the one file whose name begins so, or the only one."""
    main = [path for path in paths if path == folder / MAIN]
    alike = [path for path in paths if path.name.startswith("train") or "train_gpt" in path.name]
    return main or alike[:1] or paths[:1]
