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


def embedded_documents() -> Iterator[Document]:
    """Return the documents in a fixed pseudo-random order."""
    return iter(sorted(module_documents(), key=lambda document: hashlib.sha256(document.id.encode()).digest()))


def module_documents() -> Iterator[Document]:
    """Yield the documents in the order of their module names."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(library.rglob("*.py")):
        parts = file.relative_to(library).with_suffix("").parts
        if SKIPPED.isdisjoint(parts):
            text = module_prose(file)
            if len(text) >= SHORTEST_DOCUMENT:
                yield Document(".".join(parts), text)
    yield Document("pydoc_data.topics", pydoc_topics())


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
