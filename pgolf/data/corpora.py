"""Reads documents from text and JSON-lines files."""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pgolf.errors import DataError

TEXT_SUFFIXES = {".txt", ".md", ".rst"}


@dataclass(frozen=True, slots=True)
class Document:
    """A text that is never split between training and validation."""

    id: str
    text: str


def read_documents(path: Path) -> Iterator[Document]:
    """Yield the documents of a .jsonl or .jsonl.gz file (one object with `text` a line), a text file, or a folder.

    Raises:
        DataError: a document is invalid; names file and line of the first one.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and is_readable(file))
        if not files:
            raise DataError(f"{path}: found no .jsonl, .jsonl.gz, .txt, .md or .rst file")
        for file in files:
            yield from read_file(file)
    elif not path.exists():
        raise DataError(f"{path}: no such file or folder")
    else:
        yield from read_file(path)


def is_readable(file: Path) -> bool:
    return file.suffix in TEXT_SUFFIXES or file.name.endswith((".jsonl", ".jsonl.gz"))


def read_file(file: Path) -> Iterator[Document]:
    """Yield the documents of one file, which may be a pipe or a terminal."""
    if is_device(file):
        raise DataError(f"{file}: found a device, expected a text file, a pipe or a folder")
    try:
        if file.name.endswith(".jsonl.gz"):
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                yield from read_lines(file, lines)
        elif file.suffix == ".jsonl":
            with file.open(encoding="utf-8") as lines:
                yield from read_lines(file, lines)
        else:
            yield Document(str(file), file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{file}: cannot be read as UTF-8 text: {error}") from error


def is_device(file: Path) -> bool:
    """Return whether a path is a device other than a terminal; /dev/zero would never end."""
    if file.is_block_device():
        return True
    if not file.is_char_device():
        return False
    with file.open("rb") as opened:
        return not opened.isatty()


def read_lines(file: Path, lines: IO[str]) -> Iterator[Document]:
    """Yield the documents of a JSON-lines file."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            text = record["text"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{file}:{number}: found {line.strip()[:60]!r}, expected an object with `text`") from error
        if not isinstance(text, str):
            raise DataError(f"{file}:{number}: `text` is {type(text).__name__}, expected a string")
        yield Document(str(record.get("id", f"{file.name}:{number}")), text)
