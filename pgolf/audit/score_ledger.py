"""Reads ledger.npz as the trainer writes it, and in no other form: two uncompressed arrays of numbers."""

import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.recipe.reading import open_regular

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The contest's validation text has 62 million tokens.
MOST_TARGETS = 200_000_000
OVERHEAD_BYTES = 65_536
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(<f4|<u2)', 'fortran_order': False, 'shape': \((\d{1,12}),\), \} *\n", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class StoredLedger:
    """Nats and bytes of each target. Shapes: (targets,)."""

    nats: "NDArray[np.float32]"
    counts: "NDArray[np.uint16]"


def read_ledger(path: Path, targets: int) -> StoredLedger:
    """Return the ledger of a run.

    Args:
        targets: Number of targets that the result gives; a file of more than twice as many is not read.

    Raises:
        ValueError: it is not a ledger.
        OSError: it cannot be read.
    """
    most_bytes = 12 * min(targets, MOST_TARGETS) + OVERHEAD_BYTES
    with open_regular(path) as file:
        size = file.seek(0, 2)
        if size > most_bytes:
            raise ValueError(f"{path}: found {size:,} bytes, expected at most {most_bytes:,} for {targets:,} targets")
        try:
            with zipfile.ZipFile(file) as archive:
                stored = {name: read_stored(archive, f"{name}.npy") for name in ("nll", "bytes")}
        # What zipfile raises for damaged archives, besides its own error.
        except (zipfile.BadZipFile, LookupError, EOFError, RuntimeError, struct.error) as error:
            raise ValueError(f"{path}: {error}") from error
    return StoredLedger(array_of(stored["nll"], "<f4", path, "nll"), array_of(stored["bytes"], "<u2", path, "bytes"))


def read_stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a member of an archive. It must not be compressed: its size is then bounded by that of the file."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile(f"{name} is compressed, expected it to be stored as it is")
    return archive.read(entry)


def array_of(content: bytes, dtype: str, path: Path, name: str) -> "NDArray[Any]":
    """Return the array in a .npy file.

    Raises:
        ValueError: it holds another kind of array, or not as many values as it says.
    """
    import numpy as np

    header = HEADER.match(content)
    if header is None or header[1].decode() != dtype:
        raise ValueError(f"{path}: {name}: expected one row of {dtype}, found {content[:80]!r}")
    values = np.frombuffer(content[header.end() :], dtype=np.uint8)
    if len(values) != int(header[2]) * np.dtype(dtype).itemsize:
        raise ValueError(f"{path}: {name}: found {len(values):,} bytes, expected {int(header[2]):,} values of {dtype}")
    return values.view(dtype)
