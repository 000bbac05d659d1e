"""Reading .npz files that somebody else may have written: a bound on everything, and no pickle.

`numpy.load` allocates what a header claims, unpacks whatever a member holds, and lets half a dozen kinds of errors
through. Here a file that is not a plain archive of plain arrays ends in ValueError before it can cost memory.
"""

import io
import math
import os
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from numpy.typing import NDArray

END_OF_DIRECTORY, ZIP64_LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
END_BYTES, LOCATOR_BYTES, MOST_COMMENT_BYTES = 22, 20, 65_535
MOST_HEADER_BYTES = 10_000
DIRECTORY_BYTES_PER_ARRAY = 1_000
PLAIN_KINDS = "biufU"
"""Booleans, integers, floats and texts, by numpy's letters."""
DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, NotImplementedError, RuntimeError,
    SyntaxError, TypeError, MemoryError, KeyError, OSError,
)  # fmt: skip
"""What damage raises in zipfile, zlib and numpy; OSError where an offset is negative."""


@dataclass(frozen=True, slots=True)
class NpzLimits:
    """Bounds of a file that is read."""

    file_bytes: int = 1 << 30
    array_bytes: int = 1 << 30
    """Of all arrays together, unpacked."""
    arrays: int = 16


def read_npz(path: Path, limits: NpzLimits | None = None) -> "dict[str, NDArray[Any]]":
    """Return the arrays of a file by their names.

    Raises:
        ValueError: it is no regular file, is damaged, exceeds a limit, or holds something else than plain arrays.
        OSError: it cannot be read.
    """
    limits = limits or NpzLimits()
    # Without O_NONBLOCK, opening a FIFO waits for somebody to write to it.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        try:
            return read_arrays(file, limits)
        except DAMAGED as error:
            raise ValueError(f"{path}: damaged: {type(error).__name__}: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def read_arrays(file: BinaryIO, limits: NpzLimits) -> "dict[str, NDArray[Any]]":
    """Return the arrays of an open file."""
    check_size(file, limits)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > limits.arrays:
            raise ValueError(f"found {len(members):,} arrays, expected at most {limits.arrays}")
        total = sum(member.file_size for member in members)
        if total > limits.array_bytes:
            raise ValueError(f"the arrays unpack to {total:,} bytes; the limit is {limits.array_bytes:,}")
        return {member.filename.removesuffix(".npy"): read_member(archive, member) for member in members}


def check_size(file: BinaryIO, limits: NpzLimits) -> None:
    """Check the size of the file and of its directory, of which `zipfile` makes an object for each entry."""
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("found a FIFO, a device or a folder, expected a regular file")
    if facts.st_size > limits.file_bytes:
        raise ValueError(f"found {facts.st_size:,} bytes; the limit is {limits.file_bytes:,}")
    file.seek(max(0, facts.st_size - MOST_COMMENT_BYTES - END_BYTES - LOCATOR_BYTES))
    tail = file.read()
    at = tail.rfind(END_OF_DIRECTORY)
    if at < 0 or len(tail) < at + END_BYTES:
        raise ValueError("damaged: the end of the archive is missing")
    (directory_bytes,) = struct.unpack_from("<I", tail, at + 12)
    if tail[max(0, at - LOCATOR_BYTES) : at].startswith(ZIP64_LOCATOR):
        raise ValueError("found an archive with a directory of 4 GB or more")
    if directory_bytes > limits.arrays * DIRECTORY_BYTES_PER_ARRAY:
        raise ValueError(f"found a directory of {directory_bytes:,} bytes, expected at most {limits.arrays} arrays")


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> "NDArray[Any]":
    """Return one array, whose header must claim the bytes that follow it."""
    import numpy as np
    from numpy.lib import format as npy

    name = member.filename
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name}: packed by method {member.compress_type}, expected stored or deflated")
    with archive.open(member) as packed:
        content = packed.read(member.file_size + 1)
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name}: version {version} of the npy format, expected 1.0 or 2.0")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, dtype = read_header(stream, max_header_size=MOST_HEADER_BYTES)
    if dtype.kind not in PLAIN_KINDS:
        raise ValueError(f"{name}: values of type {dtype}, expected numbers or texts")
    claimed, found = math.prod(shape) * dtype.itemsize, len(content) - stream.tell()
    if any(side < 0 for side in shape) or claimed != found:
        raise ValueError(f"{name}: shape {shape} of {dtype} needs {claimed:,} bytes; found {found:,}")
    array = np.frombuffer(content, dtype, offset=stream.tell()) if found else np.empty(0, dtype)
    return array.reshape(shape, order="F" if is_fortran else "C").copy()
