"""The embedded corpus: the documentation inside this Python's standard library.

Each module's docstrings and comments are one document; pydoc's topics are one more. Another Python version has
different text and so a different data hash; only scores with the same hash are comparable.
"""

import ast
import hashlib
import io
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from pgolf.data.corpora import Document

# Test suites are mostly code, encodings are character tables, site-packages are not the standard library, and
# pydoc_data holds one dict, which pydoc_topics() reads as text.
SKIPPED = {"encodings", "test", "tests", "idle_test", "site-packages", "__pycache__", "pydoc_data", "lib-dynload"}
SHORTEST_DOCUMENT = 200
TOPICS = "pydoc_data.topics"


def embedded_documents() -> Iterator[Document]:
    """Yield the documents in a fixed pseudo-random order, each read when its turn comes."""
    files = module_files()
    for name in sorted([*files, TOPICS], key=lambda name: hashlib.sha256(name.encode()).digest()):
        if name == TOPICS:
            yield Document(name, pydoc_topics())
        elif len(text := module_prose(files[name])) >= SHORTEST_DOCUMENT:
            yield Document(name, text)


def module_files() -> dict[str, Path]:
    """Return the standard library's source files by module name."""
    library = Path(sysconfig.get_paths()["stdlib"])
    parts = {file: file.relative_to(library).with_suffix("").parts for file in library.rglob("*.py")}
    return {".".join(names): file for file, names in parts.items() if SKIPPED.isdisjoint(names)}


def pydoc_topics() -> str:
    """Return the language reference that `help()` shows."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip() for name in sorted(topics))


def module_prose(file: Path) -> str:
    """Return the docstrings and comments of a source file, top to bottom; empty if it cannot be parsed."""
    try:
        source = file.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            pieces = [*docstrings(ast.parse(source)), *comments(source)]
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
        return ""
    return "\n\n".join(text for _, text in sorted(pieces))


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield node.body[0].lineno, cleandoc(text)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield first line and text of each block of comments."""
    block: list[str] = []
    start = previous = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != previous + 1:
            yield start, "\n".join(block)
            block = []
        start = start if block else token.start[0]
        previous = token.start[0]
        block.append(token.string.lstrip("#").removeprefix(" ").rstrip())
    if block:
        yield start, "\n".join(block)
