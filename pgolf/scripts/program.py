"""A script and its files as text: self-extracting files are unwrapped, nothing is executed."""

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pgolf.scripts.cuda import CudaDemand, cuda_demand
from pgolf.scripts.flow import Flow
from pgolf.scripts.parsing import Parsing, variables_parsed
from pgolf.scripts.reads import EnvironmentReads
from pgolf.scripts.unwrapping import MOST_BYTES, TooLarge, decode_source, layers
from pgolf.scripts.variables import file_readers, find_all_helpers, variables_read

UNWRAPPED = " (unwrapped)"


class Unreadable(ValueError):
    """A script is not valid Python, or unpacks to more than the size limit.

    Attributes:
        name: the file, relative to the script's folder.
        line: the line, where it is known.
        problem: what is wrong.
    """

    def __init__(self, name: str, line: int | None, problem: str) -> None:
        super().__init__(describe_place(name, line, problem))
        self.name, self.line, self.problem = name, line, problem

    def below(self, folder: Path) -> str:
        """Return the message with the file's path."""
        return describe_place(str(folder / self.name), self.line, self.problem)


def describe_place(name: str, line: int | None, problem: str) -> str:
    """Return what is wrong, after file and line."""
    return f"{name}: {problem}" if line is None else f"{name}:{line}: {problem}"


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
    def texts(self) -> dict[str, str]:
        """The innermost source text of each Python file.

        Raises:
            Unreadable: a file is not Python, or unpacks to too much.
        """
        return {name + UNWRAPPED * (len(found) > 1): found[-1] for name, found in self.layers()}

    def layers(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each Python file's name and source texts, outermost first."""
        for name, content in self.files.items():
            if not name.endswith(".py"):
                continue
            try:
                found = layers(decode_source(content))
                ast.parse(found[-1])
                yield name, found
            except TooLarge:
                raise Unreadable(name, None, f"it unpacks to more than {MOST_BYTES:,} bytes") from None
            except SyntaxError as error:
                raise Unreadable(name, error.lineno, error.msg) from None
            except (ValueError, RecursionError, MemoryError) as error:
                raise Unreadable(name, None, str(error) or type(error).__name__) from None

    @cached_property
    def reads(self) -> EnvironmentReads:
        """The environment variables that the program reads.

        Raises:
            Unreadable: a file is not Python, or unpacks to too much.
        """
        return variables_read(self.texts)

    @cached_property
    def parsing(self) -> Parsing:
        """How the program parses the variables that it reads.

        Raises:
            Unreadable: a file is not Python, or unpacks to too much.
        """
        readers = file_readers(self.texts, EnvironmentReads())
        flows = {reader.name: Flow(reader.tree) for reader in readers}
        return variables_parsed({reader.name: reader for reader in readers}, find_all_helpers(readers), flows)

    @cached_property
    def cuda(self) -> CudaDemand | None:
        """Where the script itself needs CUDA; None if it may run without.

        Raises:
            Unreadable: a file is not Python, or unpacks to too much.
        """
        name, text = next(iter(self.texts.items()))
        return cuda_demand(name, Flow(ast.parse(text)))

    @cached_property
    def libraries(self) -> tuple[str, ...]:
        """Third-party packages that the program needs: top-level imports outside `try`."""
        own = {Path(name).parts[0].removesuffix(".py") for name in self.files}
        found = {root for text in self.texts.values() for root in required_imports(ast.parse(text))}
        return tuple(sorted(found - own - sys.stdlib_module_names))


def read_program(script: Path, files: list[Path]) -> ScriptProgram:
    """Read a script and its files; a folder means all files in it.

    Raises:
        OSError: a file is missing.
        ValueError: a file is outside the script's folder.
    """
    root = script.parent.resolve()
    found = {script.name: script.read_bytes()}
    for path in files:
        for file in sorted(files_of(path)):
            name = file.resolve().relative_to(root).as_posix()
            found.setdefault(name, file.read_bytes())
    return ScriptProgram(found)


def neighbours(script: Path) -> list[Path]:
    """Return the files and packages in a script's folder that it imports, directly or indirectly."""
    root, found, waiting = script.parent, list[Path](), [script]
    while waiting:
        try:
            tree = ast.parse(waiting.pop().read_bytes())
        except (OSError, SyntaxError, ValueError):
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
