"""A script and the files beside it, as text: unwrapped where it unpacks itself, never executed."""

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pgolf.scripts.reads import Reads
from pgolf.scripts.unwrapping import TooLarge, decoded, layers
from pgolf.scripts.variables import variables_read

UNWRAPPED = " (unwrapped)"


class Unreadable(ValueError):
    """A script that is no Python, or unpacks to more than any program."""


@dataclass(frozen=True)
class ScriptProgram:
    """A script, and what is shipped with it."""

    files: Mapping[str, bytes]
    """By their paths, relative to the script's folder; the script itself comes first."""

    @property
    def name(self) -> str:
        return next(iter(self.files))

    @cached_property
    def sha256(self) -> str:
        """What stands for all files: their names and contents."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        return digest.hexdigest()

    @property
    def bytes(self) -> int:
        """Bytes that count against the limit beside the model: all that is shipped."""
        return sum(map(len, self.files.values()))

    @cached_property
    def texts(self) -> dict[str, str]:
        """The innermost text of each Python file.

        Raises: Unreadable naming the file.
        """
        return {name + UNWRAPPED * (len(found) > 1): found[-1] for name, found in self.layers()}

    def layers(self) -> Iterator[tuple[str, list[str]]]:
        """Python files with their texts, outermost first."""
        for name, content in self.files.items():
            if not name.endswith(".py"):
                continue
            try:
                found = layers(decoded(content))
                ast.parse(found[-1])
                yield name, found
            except TooLarge:
                raise Unreadable(f"{name} unpacks to more bytes than any program has") from None
            except SyntaxError as error:
                raise Unreadable(f"{name}:{error.lineno}: {error.msg}") from None
            except (ValueError, RecursionError, MemoryError) as error:
                raise Unreadable(f"{name}: {error or type(error).__name__}") from None

    @cached_property
    def reads(self) -> Reads:
        """The environment variables that it reads.

        Raises: Unreadable.
        """
        return variables_read(self.texts)

    @cached_property
    def libraries(self) -> tuple[str, ...]:
        """What it cannot do without: imports outside `try`, of nothing that is shipped or comes with Python."""
        own = {Path(name).parts[0].removesuffix(".py") for name in self.files}
        found = {root for text in self.texts.values() for root in required_imports(ast.parse(text))}
        return tuple(sorted(found - own - sys.stdlib_module_names))


def read_program(script: Path, files: list[Path]) -> ScriptProgram:
    """A script with its files; a folder stands for all that is in it.

    Raises: OSError for a file that is not there; ValueError for one that does not lie below the script's folder.
    """
    root = script.parent.resolve()
    found = {script.name: script.read_bytes()}
    for path in files:
        for file in sorted(files_of(path)):
            name = file.resolve().relative_to(root).as_posix()
            found.setdefault(name, file.read_bytes())
    return ScriptProgram(found)


def neighbours(script: Path) -> list[Path]:
    """Files and packages beside a script that it, or one of them, imports."""
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
    """A file, or the files of a folder that are worth shipping."""
    if not path.is_dir():
        return [path]
    inside = (file for file in path.rglob("*") if file.is_file())
    return [file for file in inside if "__pycache__" not in file.parts and not file.name.startswith(".")]


def required_imports(tree: ast.Module) -> Iterator[str]:
    """Root packages that are imported wherever the program goes: not in a `try`, not in a function."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]
