"""Token shards, byte by byte."""

import hashlib
import struct
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from pgolf.data.shards import ShardWriter, read_shard, split_documents
from pgolf.errors import DataError
from tests.pgolf.data.builders import HEADER, raw_shard


def write_documents(folder: Path, documents: list[list[int]], shard_tokens: int) -> list[list[int]]:
    """Write documents as shards and return the raw tokens of each."""
    writer = ShardWriter(folder, "part", shard_tokens)
    for document in documents:
        writer.add(document)
    found = []
    for entry in writer.close():
        content = (folder / entry.file).read_bytes()
        found.append(raw_shard(content))
        assert entry.tokens == len(found[-1])
        assert entry.sha256 == hashlib.sha256(content).hexdigest()
    return found


@pytest.mark.parametrize(
    ("lengths", "shard_tokens", "expected"),
    [
        ([3, 4], 100, [7]),
        ([3, 4], 7, [7]),
        ([3, 5], 4, [4, 4]),
        ([3, 4, 2], 4, [4, 4, 1]),
        ([11], 4, [4, 4, 3]),
        ([], 4, []),
    ],
)
def test_all_shards_but_the_last_are_full_and_together_hold_all_tokens(
    tmp_path: Path, lengths: list[int], shard_tokens: int, expected: list[int]
) -> None:
    stream = iter(range(100, 65_536, 977))
    documents = [[next(stream) for _ in range(length)] for length in lengths]
    found = write_documents(tmp_path, documents, shard_tokens)
    assert [len(shard) for shard in found] == expected
    assert [*chain(*found)] == [*chain(*documents)]
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"part_{n:06d}.bin" for n in range(len(expected))]


def test_a_shard_is_256_little_endian_ints_then_two_bytes_a_token(tmp_path: Path) -> None:
    write_documents(tmp_path, [[1, 258, 65_535]], 9)
    expected = b"\x88\xd8\x34\x01" + b"\1\0\0\0" + b"\3\0\0\0" + bytes(1012) + b"\1\0" + b"\2\1" + b"\xff\xff"
    assert (tmp_path / "part_000000.bin").read_bytes() == expected


def shard(*header: int, body: bytes) -> bytes:
    return HEADER.pack(*header, *[0] * (256 - len(header))) + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 1023,
        shard(20240521, 1, 2, body=bytes(4)),
        shard(20240520, 2, 2, body=bytes(4)),
        shard(20240520, 1, 3, body=bytes(4)),
        shard(20240520, 1, 2, body=bytes(5)),
        shard(20240520, 1, 2, body=bytes(6)),
        shard(20240520, 1, -1, body=b""),
        HEADER.pack(20240520, 1, 2, *[0] * 253)[:-1],
    ],
    ids=["empty", "short", "magic", "version", "too few", "odd", "too many", "negative", "header cut"],
)
def test_an_invalid_shard_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.bin").write_bytes(content)
    with pytest.raises(DataError, match=r"s\.bin"):
        read_shard(tmp_path / "s.bin")


def test_tokens_round_trip(tmp_path: Path) -> None:
    tokens = [0, 1, 2, 65_535, 7]
    (tmp_path / "s.bin").write_bytes(shard(20240520, 1, 5, body=struct.pack("<5H", *tokens)))
    assert read_shard(tmp_path / "s.bin").tolist() == tokens


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([1, 5, 6, 1, 7], [[5, 6], [7]]),
        ([1], [[]]),
        ([1, 1, 5, 1], [[], [5], []]),
        ([1, 5], [[5]]),
        ([], []),
    ],
)
def test_documents_are_the_tokens_between_the_begin_marks(tokens: list[int], expected: list[list[int]]) -> None:
    found = split_documents(np.array(tokens, dtype=np.uint16), 1)
    assert [document.tolist() for document in found] == expected
