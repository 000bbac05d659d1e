"""What a log file wraps its lines in: gzip, an encoding, a notebook, or one JSON document with a result."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.dialects.plain import TooLong

# The longest public log has 9 MB.
MAX_BYTES = 32_000_000
GZIP_MARK = b"\x1f\x8b"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# ASCII in UTF-16 has a zero in every second byte.
UTF16_SAMPLE = 4_096
# Result fields of a JSON document as lines that the dialects read.
RESULT_LINES = {"artifact_bytes": "artifact: {} bytes", "total_bytes": "Total submission size: {} bytes"}

NumberedLine = tuple[int, str]


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file, decompressed if they are gzip, whatever its name says.

    Raises:
        TooLong: it has more than MAX_BYTES, or unpacks to more.
        OSError: it cannot be read, or its gzip data are cut short or damaged.
    """
    if path.stat().st_size > MAX_BYTES:
        raise TooLong(f"{path} has {path.stat().st_size:,} bytes; a log may have {MAX_BYTES:,}")
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP_MARK
        file.seek(0)
        return read_gzip(path) if is_gzip else file.read()


def read_gzip(path: Path) -> bytes:
    """Return the decompressed bytes of a gzip file.

    Raises:
        TooLong: it unpacks to more than MAX_BYTES.
        OSError: it is cut short or damaged.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(0, f"not a complete gzip file: {error}", str(path)) from error
    if len(content) > MAX_BYTES:
        raise TooLong(f"{path} unpacks to more than {MAX_BYTES:,} bytes, the limit for a log")
    return content


def encoding_of(content: bytes) -> str:
    """Return the encoding of a log: UTF-16 with or without a byte-order mark, else UTF-8."""
    if content[:2] in UTF16_MARKS:
        return "utf-16"
    sample = content[:UTF16_SAMPLE]
    half = len(sample) // 2
    for encoding, place in (("utf-16-le", 1), ("utf-16-be", 0)):
        if half and sample[place::2].count(0) > 0.7 * half and sample[1 - place :: 2].count(0) < 0.1 * half:
            return encoding
    return "utf-8"


def numbered_lines(text: str) -> Iterator[NumberedLine]:
    """Yield the lines that a file holds, each with its number in the file, from 1.

    A notebook gives the text of its outputs. A JSON document gives its results, as lines that the dialects read; the
    text that it quotes, such as the tail of a log, is no result.
    """
    document = as_document(text)
    if document is None:
        yield from enumerate((text if "\n" in text else text.replace("\r", "\n")).split("\n"), start=1)
    elif isinstance(document.get("cells"), list):
        yield from notebook_lines(document, text)
    else:
        yield from result_lines(document, text)


def as_document(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a whole text is, with numbers as printed; None if it is none, or of one line."""
    if not text.lstrip().startswith("{") or (is_one_line(text) and '"cells"' not in text):
        return None
    try:
        document = json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def is_one_line(text: str) -> bool:
    return "\n" not in text.strip()


def result_lines(document: dict[str, Any], text: str) -> Iterator[NumberedLine]:
    """Yield the fields of a JSON document that are numbers, in its order; a loss and its bits per byte on one line."""
    pair = "val_loss" in document and "val_bpb" in document
    for key, value in document.items():
        if not isinstance(value, str) or not re.fullmatch(r"[-+]?\d[\d.eE+-]{0,30}", value):
            continue
        found = re.search(rf'"{re.escape(key)}"\s{{0,9}}:', text)
        number = 1 if found is None else text.count("\n", 0, found.start()) + 1
        if pair and key == "val_loss":
            continue
        if pair and key == "val_bpb":
            yield number, f"result val_loss:{document['val_loss']} val_bpb:{value}"
        else:
            yield number, RESULT_LINES.get(key, f"{key}: {{}}").format(value)


def notebook_lines(document: dict[str, Any], text: str) -> Iterator[NumberedLine]:
    """Yield the text of a notebook's outputs, each line with the number of the line of the file that quotes it."""
    position, number = 0, 1
    for line in output_lines(document):
        quoted = json.dumps(line, ensure_ascii=False)[1:-1]
        place = text.find(quoted, position)
        if place < 0:
            place = text.find(json.dumps(line)[1:-1], position)
        if place >= 0:
            number += text.count("\n", position, place)
            position = place
        yield number, line


def output_lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the streams and plain results of a notebook."""
    for cell in document["cells"]:
        outputs = cell.get("outputs") if isinstance(cell, dict) else None
        for output in outputs if isinstance(outputs, list) else []:
            if not isinstance(output, dict):
                continue
            data = output.get("data")
            text = output.get("text", data.get("text/plain") if isinstance(data, dict) else None)
            parts = [part for part in text if isinstance(part, str)] if isinstance(text, list) else [text]
            yield from "".join(part for part in parts if isinstance(part, str)).split("\n")
