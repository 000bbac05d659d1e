"""Reading .npz files of others: what numpy writes comes back, and everything else ends in ValueError, cheaply."""

import io
import os
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pgolf.npz import NpzLimits, read_npz

LIMITS = NpzLimits(file_bytes=1 << 20, array_bytes=1 << 20, arrays=4)


def saved(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def npy(header: bytes, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + body


def archive(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    return archive_of(members, method)


def archive_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return file.getvalue()


def with_wrong_crc() -> bytes:
    content = bytearray(saved(nats=np.arange(100.0)))
    content[content.index(np.arange(100.0).tobytes()) + 50] ^= 1
    return bytes(content)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_comes_back(save: Callable[..., None], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {
        "floats": rng.normal(size=(3, 4)).astype(np.float32),
        "columns": np.asfortranarray(rng.normal(size=(5, 2))),
        "words": np.array("a reason"),
        "none": np.zeros((0, 7), np.uint16),
    }
    save(tmp_path / "whole.npz", **arrays)
    found = read_npz(tmp_path / "whole.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


HUGE = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "broken as in a report": b"PK\x03\x04" + b"\0" * 100,
    "cut off": saved(nats=np.arange(100.0))[:-30],
    "wrong checksum": with_wrong_crc(),
    "zip bomb": archive(zipfile.ZIP_DEFLATED, nats=bytes(50_000_000)),
    "huge shape": archive(nats=npy(HUGE, bytes(8))),
    "negative shape": archive(nats=npy(HUGE.replace(b"1000000000000,", b"-1, -1"), bytes(8))),
    "shape that overflows": archive(nats=npy(HUGE.replace(b"1000000000000,", b"4294967296, 4294967296"))),
    "pickle": saved(nats=np.array([{}, None], dtype=object)),
    "records": saved(nats=np.zeros(3, [("a", "<f8"), ("b", "O")])),
    "no header": archive(nats=b"\x93NUMPY\x01\x00"),
    "no magic": archive(nats=b"not an array"),
    "code for a header": archive(nats=npy(b"__import__('os').abort()")),
    "deep header": archive(nats=npy(b"(" * 5_000 + b")" * 5_000)),
    "long header": archive(nats=npy(b"{'descr': '<f8', 'shape': (), 'fortran_order': False" + b" " * 60_000 + b"}")),
    "version 9": archive(nats=npy(b"{}", version=b"\x09\x00")),
    "many members": archive_of({f"a{number}": b"" for number in range(9)}),
    "huge directory": archive_of({f"a{number}": b"" for number in range(5_000)}),
    "bzip2": archive(zipfile.ZIP_BZIP2, nats=b"x"),
    "lzma": archive(zipfile.ZIP_LZMA, nats=b"x"),
    "too large": bytes((1 << 20) + 1),
    "no zip": b"x" * 1_000,
}  # fmt: skip


WORDS = {
    "zip bomb": "unpack to 50,000,000 bytes", "huge shape": "needs 8,000,000,000,000 bytes; found 8",
    "negative shape": "needs 8 bytes; found 8", "pickle": "expected numbers or texts",
    "records": "expected numbers or texts", "many members": "expected at most 4", "bzip2": "packed by method 12",
    "huge directory": "found a directory of", "lzma": "packed by method 14", "too large": "the limit is 1,048,576",
}  # fmt: skip
"""What refuses a file that other checks would refuse as well, later and at a higher cost."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_cheaply(name: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.npz"
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=WORDS.get(name)) as refusal:
            read_npz(path, LIMITS)
        assert str(refusal.value).startswith(f"{path}: ")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_an_encrypted_member_and_a_zip64_directory_are_refused(tmp_path: Path) -> None:
    content = bytearray(saved(nats=np.arange(3.0)))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    end = saved(nats=np.arange(3.0)).rindex(b"PK\x05\x06")
    content = bytearray(saved(nats=np.arange(3.0)))
    content[end:end] = b"PK\x06\x07" + bytes(16)
    (tmp_path / "b.npz").write_bytes(content)
    for name, words in (("a.npz", "password required"), ("b.npz", "directory of 4 GB or more")):
        with pytest.raises(ValueError, match=words):
            read_npz(tmp_path / name)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "zero"):
        with pytest.raises(ValueError, match="expected a regular file"):
            read_npz(tmp_path / name)
    for name in ("folder", "absent"):
        with pytest.raises(OSError, match=name):
            read_npz(tmp_path / name)


def test_no_damage_ends_in_another_error(tmp_path: Path) -> None:
    """Flip, cut and repeat bytes of a good file: it is read, or refused by ValueError."""
    whole, rng, path = saved(nats=np.arange(40.0), words=np.array("yes")), random.Random(4), tmp_path / "x.npz"
    refused = 0
    for _ in range(600):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content))
            match rng.randrange(4):
                case 0:
                    content[at] = rng.randrange(256)
                case 1:
                    content[at] ^= 1 << rng.randrange(8)
                case 2:
                    del content[at : at + rng.randint(1, 60)]
                case _:
                    content[at:at] = content[at : at + rng.randint(1, 30)]
            if not content:
                break
        path.write_bytes(content)
        try:
            read_npz(path, LIMITS)
        except ValueError:
            refused += 1
    assert refused > 400
