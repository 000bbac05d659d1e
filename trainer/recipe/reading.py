"""Reading files that somebody else may have written, damaged or replaced.

Every reader here opens regular files only, reads no more than a bound, and raises ValueError for a content that is not
what the caller expects. A FIFO, a device or a link to one is refused without waiting for it.
"""

import json
import os
import re
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

MOST_BYTES = 16_000_000
"""Of a document such as result.json, which has some kilobytes."""
MOST_DEPTH = 64
MOST_SHOWN = 80
"""Characters of a key in a message."""
HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises:
        ValueError: it is something else, such as a FIFO or a device.
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK, opening a FIFO waits for somebody to write to it.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise ValueError(f"{path}: found a FIFO or a device, expected a regular file")


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises:
        ValueError: it is no regular file, or has more than `most_bytes`.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"{path}: found more than {most_bytes:,} bytes")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        ValueError: the file does not hold a JSON object, or one that is too large or too deep.
        OSError: the file cannot be read.
    """
    document = parse_json(read_bytes(path), str(path))
    if not isinstance(document, dict):
        raise ValueError(f"{path}: found {type(document).__name__}, expected a JSON object")
    return document


def parse_json(text: bytes, place: str) -> Any:
    """Return the value of a JSON text. Unlike json.loads, refuse NaN, repeated keys and deep nesting.

    Args:
        text: The text in UTF-8.
        place: Where the text is from, for the error.

    Raises:
        ValueError: the text is not such a value.
    """
    try:
        value = json.loads(text.decode(), parse_constant=refuse_constant, object_pairs_hook=object_without_repeats)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    except RecursionError:  # the parser's own bound
        raise ValueError(f"{place}: nested more than {MOST_DEPTH} deep") from None
    if is_deeper(value, MOST_DEPTH):
        raise ValueError(f"{place}: nested more than {MOST_DEPTH} deep")
    if HALF_CHARACTER.search(text) and has_half_character(value):
        raise ValueError(f"{place}: found half of a surrogate pair, which is no character")
    return value


def refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"found {word}, expected a finite number")


def object_without_repeats(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in members:
        if key in found:
            raise ValueError(f"{key[:MOST_SHOWN]}: found twice in one object")
        found[key] = value
    return found


def is_deeper(value: Any, most: int) -> bool:
    """Return whether lists and objects are nested more than `most` deep."""
    level = [value]
    for _ in range(most + 1):
        level = [member for each in level for member in members_of(each)]
    return bool(level)


def has_half_character(value: Any) -> bool:
    """Return whether a text in the value cannot be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def members_of(value: Any) -> list[Any]:
    """Return the values in a list or an object."""
    return [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
