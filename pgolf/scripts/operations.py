"""What unpackers compute with: decoders and methods, each refused before its result would take too much memory."""

import base64
import binascii
import bz2
import codecs
import lzma
import re
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from pgolf.scripts.source import MOST_BYTES, MOST_INTEGER_BITS, TooLarge

Text = str | bytes
WIDEST_CHARACTER = 4
# Bytes of an element of a list besides its characters.
ELEMENT_BYTES = 64
# The window of the largest preset of xz, and what its decoder takes besides.
MOST_WINDOW_BYTES = 1 << 26
MOST_DECODER_BYTES = MOST_WINDOW_BYTES + (1 << 20)
# Each stream copies the data that follows it.
MOST_STREAMS = 16
# `strip` compares each character with all of these.
MOST_STRIPPED = 256
CODECS = re.compile(r"utf-8(?:-sig)?|ascii|iso8859-1|utf-(?:16|32)(?:-[lb]e)?")
WHITESPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())


class NotConstant(Exception):
    """An expression cannot be computed from constants and known decoders."""


def limited(size: int, what: str) -> None:
    """Raise TooLarge if a result would have more than MOST_BYTES."""
    if size > MOST_BYTES:
        raise TooLarge(f"{what} would have {size:,} bytes; at most {MOST_BYTES:,} are unpacked")


def size_of(value: Any) -> int:
    """Return about how many bytes the elements of a value are; those of a list are counted where they are made."""
    if isinstance(value, str):
        return len(value) if value.isascii() else WIDEST_CHARACTER * len(value)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, list | dict):
        return ELEMENT_BYTES * len(value)
    return value.bit_length() // 8 if isinstance(value, int) else 0


def add(left: Any, right: Any) -> Any:
    """Return a sum."""
    limited(size_of(left) + size_of(right), "a sum")
    return left + right


def multiply(left: Any, right: Any) -> Any:
    """Return a product: of a text or list and a number, or of two numbers."""
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > MOST_INTEGER_BITS:
            raise TooLarge(f"a product would have more than {MOST_INTEGER_BITS:,} bits")
    else:
        times = next((value for value in (left, right) if isinstance(value, int)), 1)
        limited(times * max(size_of(value) for value in (left, right) if value is not times), "a repetition")
    return left * right


def replace(text: Text, old: Text, new: Text, count: int = -1) -> Any:
    """Return what the method of a text does."""
    found = text.count(old)  # type: ignore[arg-type]
    times = found if count < 0 else min(count, found)
    limited(len(text) + times * (len(new) - len(old)), "the result of `replace`")
    return text.replace(old, new, times)  # type: ignore[arg-type]


def join(text: Text, parts: Iterable[Text]) -> Any:
    """Return what the method of a text does."""
    if isinstance(parts, str | bytes):
        limited(len(parts) * (ELEMENT_BYTES + len(text)), "the parts of `join`")
    found = list(parts)
    limited(sum(map(len, found)) + len(text) * len(found), "the result of `join`")
    return text.join(found)  # type: ignore[arg-type]


def split(text: Text, separator: Text | None = None, maxsplit: int = -1) -> Any:
    """Return what the method of a text does."""
    if separator is None:
        white = WHITESPACE if isinstance(text, str) else [bytes([ord(each)]) for each in WHITESPACE if each < "\x80"]
        count = sum(text.count(each) for each in white)  # type: ignore[arg-type, misc]
    else:
        count = text.count(separator)  # type: ignore[arg-type]
    count = count if maxsplit < 0 else min(count, maxsplit)
    limited(len(text) + ELEMENT_BYTES * count, "the result of `split`")
    return text.split(separator, maxsplit)  # type: ignore[arg-type]


def translate(text: Text, table: Any, *rest: Any) -> Any:
    """Return what the method of a text does."""
    if isinstance(text, str):
        longest = max((len(each) for each in table.values() if isinstance(each, str)), default=1)
        limited(len(text) * max(1, longest), "the result of `translate`")
    return text.translate(table, *rest)


def recode(method: str) -> Callable[..., Any]:
    """Return the method `encode` or `decode` of a text, for encodings that take linear time and space."""

    def run(text: Any, encoding: str = "utf-8", errors: str = "strict") -> Any:
        if CODECS.fullmatch(codecs.lookup(encoding).name) is None or errors not in ("strict", "ignore", "replace"):
            raise NotConstant
        limited(len(text), f"the result of `{method}`")
        return getattr(text, method)(encoding, errors)

    return run


def strip(text: Text, characters: Text | None = None) -> Any:
    """Return what the method of a text does."""
    if characters is not None and len(characters) > MOST_STRIPPED:
        raise NotConstant
    return text.strip(characters)  # type: ignore[arg-type]


METHODS: dict[str, Callable[..., Any]] = {
    "replace": replace,
    "join": join,
    "split": split,
    "translate": translate,
    "encode": recode("encode"),
    "decode": recode("decode"),
    "strip": strip,
    "removeprefix": lambda text, prefix: text.removeprefix(prefix),
    "removesuffix": lambda text, suffix: text.removesuffix(suffix),
}
"""Methods of texts; called with anything else than a text they are not computed."""


def decompress(decompressor: Any, data: bytes) -> bytes:
    """Decompress data.

    Raises:
        TooLarge: the result has more than MOST_BYTES.
        EOFError: the data is cut off.
    """
    found = bytes(decompressor.decompress(data, MOST_BYTES + 1))
    if len(found) > MOST_BYTES:
        raise TooLarge(f"{len(data):,} bytes decompress to more than {MOST_BYTES:,}")
    if not decompressor.eof:
        raise EOFError
    return found


def decompress_streams(make: Callable[[], Any], data: bytes) -> bytes:
    """Decompress streams that follow each other, as lzma, gzip and bz2 do. What follows them is ignored.

    Raises:
        NotConstant: there are more than MOST_STREAMS.
    """
    found: list[bytes] = []
    while data:
        if len(found) == MOST_STREAMS:
            raise NotConstant
        decompressor = make()
        try:
            found.append(decompress(decompressor, data))
        except (lzma.LZMAError, OSError):
            if not found:
                raise
            break
        limited(sum(map(len, found)), "decompressed streams")
        data = decompressor.unused_data
    return b"".join(found)


def inflate_lzma(data: bytes, *settings: Any, **named: Any) -> bytes:
    """Decompress as lzma.decompress does, with its settings, within bounds of result and window."""
    given = dict(zip(("format", "memlimit", "filters"), settings, strict=False)) | named
    if given.get("format") == lzma.FORMAT_RAW:
        if any(each.get("dict_size", 0) > MOST_WINDOW_BYTES for each in given["filters"]):
            raise TooLarge(f"an lzma window has more than {MOST_WINDOW_BYTES:,} bytes")
    else:
        given["memlimit"] = min(given.get("memlimit") or MOST_DECODER_BYTES, MOST_DECODER_BYTES)
    return decompress_streams(lambda: lzma.LZMADecompressor(**given), data)


def inflate_zlib(data: bytes, wbits: int = zlib.MAX_WBITS) -> bytes:
    """Decompress as zlib.decompress does."""
    return decompress(zlib.decompressobj(wbits), data)


def inflate_brotli(data: bytes) -> bytes:
    """Decompress as brotli.decompress does. A byte of input gives at most one block, of at most 16 MiB."""
    import brotli

    decompressor, found = brotli.Decompressor(), bytearray()
    for place in range(len(data)):
        try:
            found += decompressor.process(data[place : place + 1])
        except brotli.error:
            raise NotConstant from None
        if len(found) > MOST_BYTES:
            raise TooLarge(f"{len(data):,} bytes decompress to more than {MOST_BYTES:,}")
    if not decompressor.is_finished():
        raise EOFError
    return bytes(found)


def from_text(decoder: Callable[..., bytes]) -> Callable[..., bytes]:
    """Return a decoder of a text encoding, for payloads of the size of programs."""

    def run(data: Text, *settings: Any, **named: Any) -> bytes:
        limited(len(data), "an encoded text")
        return decoder(data, *settings, **named)

    return run


def decode_a85(data: Text, *settings: Any, **named: Any) -> bytes:
    """Decode as base64.a85decode does, where a `z` is four bytes."""
    zeros = data.count("z") if isinstance(data, str) else data.count(b"z")
    limited(len(data) + 3 * zeros, "a decoded text")
    return base64.a85decode(data, *settings, **named)


DECODERS: dict[str, Callable[..., Any]] = {
    **{f"base64.{name}": from_text(getattr(base64, name)) for name in (
        "b64decode", "b85decode", "b32decode", "b16decode", "urlsafe_b64decode", "standard_b64decode",
        "decodebytes")},
    "base64.a85decode": decode_a85,
    "binascii.unhexlify": from_text(binascii.unhexlify),
    "binascii.a2b_base64": from_text(binascii.a2b_base64),
    "binascii.a2b_hex": from_text(binascii.a2b_hex),
    "bytes.fromhex": from_text(bytes.fromhex),
    "lzma.decompress": inflate_lzma,
    "zlib.decompress": inflate_zlib,
    "gzip.decompress": lambda data: decompress_streams(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16), data),
    "bz2.decompress": lambda data: decompress_streams(bz2.BZ2Decompressor, data),
    "brotli.decompress": inflate_brotli,
}  # fmt: skip
