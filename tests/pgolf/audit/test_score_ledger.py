"""ledger.npz is read as the trainer writes it; any other archive is refused, whatever it would unfold to."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pgolf.audit.score_ledger import read_ledger
from trainer.evaluation.ledger import write_ledger

NATS, COUNTS = np.array([1.5, 0.25, 3.0], dtype=np.float32), np.array([3, 1, 4], dtype=np.uint16)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    write_ledger(tmp_path / "ledger.npz", NATS, COUNTS)
    return tmp_path / "ledger.npz"


def test_what_the_trainer_writes_is_read(ledger: Path) -> None:
    found = read_ledger(ledger, 3)
    assert (str(found.nats.dtype), str(found.counts.dtype)) == ("float32", "uint16")
    assert (found.nats.tolist(), found.counts.tolist()) == ([1.5, 0.25, 3.0], [3, 1, 4])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"NUMPY") + 130] ^= 1
    path.write_bytes(content)


def promise_more(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bytes.npy", b"")
        head = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999,), }"
        archive.writestr("nll.npy", head + b" " * 40 + b"\n1234")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bad checksum": (flip, "Bad CRC-32"),
    "cut": (lambda path: os.truncate(path, 200), "not a zip file"),
    "empty": (lambda path: os.truncate(path, 0), "not a zip file"),
    "a bomb": (
        lambda path: np.savez_compressed(path, nll=np.zeros(10**7, "f4"), bytes=COUNTS),
        "nll.npy is compressed",
    ),
    "objects": (lambda path: np.savez(path, nll=np.array([{}], dtype=object), bytes=COUNTS), "expected one row of <f4"),
    "another type": (lambda path: np.savez(path, nll=NATS.astype("f8"), bytes=COUNTS), "expected one row of <f4"),
    "another shape": (lambda path: np.savez(path, nll=NATS[:, None], bytes=COUNTS), "expected one row of <f4"),
    "half of it": (lambda path: np.savez(path, nll=NATS), "no item named 'bytes.npy'"),
    "more values than bytes": (promise_more, "expected 999,999,999,999 values"),
    "a file without end": (lambda path: os.truncate(path, 2**40), "found 1,099,511,627,776 bytes"),
    "a pipe": (fifo, "expected a regular file"),
}


@pytest.mark.parametrize(("harm", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_any_other_archive_is_refused(ledger: Path, harm: Callable[[Path], object], reason: str) -> None:
    harm(ledger)
    with pytest.raises(ValueError, match=r"ledger\.npz: .*") as refused:
        read_ledger(ledger, 3)
    assert reason in str(refused.value)
