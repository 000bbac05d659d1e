"""A script and its files as text: self-extracting files are unwrapped, nothing is executed."""

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pgolf.scripts.cuda import CudaDemand, cuda_demand
from pgolf.scripts.flow import Flow
from pgolf.scripts.parsing import Parsing, variables_parsed
from pgolf.scripts.reads import EnvironmentReads
from pgolf.scripts.source import (
    MOST_BYTES,
    MOST_TOTAL_TOKENS,
    NESTED,
    TooLarge,
    count_tokens,
    decode_source,
    parse_source,
    read_source,
)
from pgolf.scripts.unwrapping import layers
from pgolf.scripts.variables import file_readers, find_all_helpers, variables_read

UNWRAPPED = " (unwrapped)"
LONGEST_SHOWN = 40
ADVICE = "give a file that Python 3 can run"
# Files that are shipped with a script are kept in memory. They count against the limit of the artifact, 16 MB.
MOST_SHIPPED_BYTES = 64_000_000


class Unreadable(ValueError):
    """A script is not valid Python, or unpacks to more than the size limit.

    Attributes:
        name: the file, relative to the script's folder.
        line: the line, where it is known.
        column: the column, from 1, where it is known.
        problem: what is wrong.
    """

    def __init__(self, name: str, line: int | None, problem: str, column: int | None = None) -> None:
        super().__init__(describe_place(name, line, column, problem))
        self.name, self.line, self.column, self.problem = name, line, column, problem

    def below(self, folder: Path) -> str:
        """Return the message with the file's path."""
        return describe_place(str(folder / self.name), self.line, self.column, self.problem)


def describe_place(name: str, line: int | None, column: int | None, problem: str) -> str:
    """Return what is wrong, after file, line and column."""
    return ":".join(str(part) for part in (name, line, column) if part is not None) + f": {problem}"


@dataclass(frozen=True)
class ScriptProgram:
    """A script and the files shipped with it."""

    files: Mapping[str, bytes]
    """Contents by path relative to the script's folder; the script itself is first."""

    @property
    def name(self) -> str:
        return next(iter(self.files))

    @cached_property
    def sha256(self) -> str:
        """Hash of all files' names and contents."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        return digest.hexdigest()

    @property
    def bytes(self) -> int:
        """Size of all shipped files, which counts against the artifact limit together with the model."""
        return sum(map(len, self.files.values()))

    @cached_property
    def sources(self) -> dict[str, tuple[str, ast.Module]]:
        """The innermost source text of each Python file, and its syntax tree.

        Raises:
            Unreadable: a file is not Python, or is or unpacks to more than a program.
        """
        found, left = {}, MOST_TOTAL_TOKENS
        for name, content in self.files.items():
            if not name.endswith(".py"):
                continue
            with readable(name):
                text = decode_source(content)
                check_interpreter(text)
                texts = layers(text)
                left -= count_tokens(texts[-1])
                if left < 0:
                    raise TooLarge(f"the program has more than {MOST_TOTAL_TOKENS:,} tokens up to this file")
                found[name + UNWRAPPED * (len(texts) > 1)] = texts[-1], parse_source(texts[-1])
        return found

    @property
    def texts(self) -> dict[str, str]:
        """The innermost source text of each Python file.

        Raises:
            Unreadable: as `sources`.
        """
        return {name: text for name, (text, _) in self.sources.items()}

    @property
    def trees(self) -> dict[str, ast.Module]:
        """The syntax tree of each Python file.

        Raises:
            Unreadable: as `sources`.
        """
        return {name: tree for name, (_, tree) in self.sources.items()}

    @cached_property
    def reads(self) -> EnvironmentReads:
        """The environment variables that the program reads.

        Raises:
            Unreadable: as `sources`.
        """
        with readable(self.name):
            return variables_read(self.trees)

    @cached_property
    def parsing(self) -> Parsing:
        """How the program parses the variables that it reads.

        Raises:
            Unreadable: as `sources`.
        """
        with readable(self.name):
            readers = file_readers(self.trees, EnvironmentReads())
            flows = {reader.name: Flow(reader.tree) for reader in readers}
            return variables_parsed({reader.name: reader for reader in readers}, find_all_helpers(readers), flows)

    @cached_property
    def cuda(self) -> CudaDemand | None:
        """Where the script itself needs CUDA; None if it may run without.

        Raises:
            Unreadable: as `sources`.
        """
        with readable(self.name):
            name, tree = next(iter(self.trees.items()))
            return cuda_demand(name, Flow(tree))

    @cached_property
    def libraries(self) -> tuple[str, ...]:
        """Third-party packages that the program needs: top-level imports outside `try`."""
        own = {Path(name).parts[0].removesuffix(".py") for name in self.files}
        found = {root for tree in self.trees.values() for root in required_imports(tree)}
        return tuple(sorted(found - own - sys.stdlib_module_names))


def check_interpreter(text: str) -> None:
    """Raise for a script that another program than Python runs.

    Raises:
        SyntaxError: its first line names that program.
    """
    first = text.partition("\n")[0].rstrip()
    if first.startswith("#!") and "python" not in first and "uv run" not in first:
        raise SyntaxError(f"found `{first[:LONGEST_SHOWN]}`, expected a Python script", (None, 1, 1, None))


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Raise Unreadable for whatever shows that a file is no program that can be read."""
    try:
        yield
    except Unreadable:
        raise
    except TooLarge as error:
        raise Unreadable(name, error.line, error.problem) from None
    except SyntaxError as error:
        raise Unreadable(name, error.lineno, f"{error.msg}; {ADVICE}", error.offset) from None
    except (RecursionError, MemoryError):
        raise Unreadable(name, None, NESTED) from None
    except ValueError as error:
        raise Unreadable(name, None, str(error)) from None


def read_program(script: Path, files: list[Path]) -> ScriptProgram:
    """Read a script and its files; a folder means all files in it.

    Raises:
        OSError: a file is missing, or no regular file.
        Unreadable: the script has more bytes than a program, or all files have more than MOST_SHIPPED_BYTES.
        ValueError: a file is outside the script's folder.
    """
    root = script.parent.resolve()
    with readable(script.name):
        found = {script.name: read_source(script)}
    left = MOST_SHIPPED_BYTES
    for path in files:
        for file in sorted(files_of(path)):
            name = file.resolve().relative_to(root).as_posix()
            with readable(name):
                content = read_source(file, MOST_BYTES if name.endswith(".py") else left)
            left -= len(content)
            found.setdefault(name, content)
    return ScriptProgram(found)


def neighbours(script: Path) -> list[Path]:
    """Return the files and packages in a script's folder that it imports, directly or indirectly."""
    root, found, waiting = script.parent, list[Path](), [script]
    while waiting:
        try:
            tree = parse_source(decode_source(read_source(waiting.pop())))
        except (OSError, SyntaxError, TooLarge):
            continue
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names}:
                places = (root / f"{name}.py", root / name)
                beside = next((place for place in places if place.is_file() or (place / "__init__.py").is_file()), None)
                if beside is not None and beside not in [*found, script]:
                    found.append(beside)
                    waiting += files_of(beside) if beside.is_dir() else [beside]
    return found


def files_of(path: Path) -> list[Path]:
    """Return a file, or the files of a folder without caches and hidden files."""
    if not path.is_dir():
        return [path]
    inside = (file for file in path.rglob("*") if file.is_file())
    return [file for file in inside if "__pycache__" not in file.parts and not file.name.startswith(".")]


def required_imports(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level packages that a module imports unconditionally: not in a `try`, not in a function."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]
