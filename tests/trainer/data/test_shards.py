"""Shards are exact or refused, and a stream of them wraps around."""

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.data.builders import write_shard
from trainer.data.manifest import ShardFile
from trainer.data.shards import TokenStream, map_shard
from trainer.runtime.failure import DataRefused


def test_tokens_survive_a_round_trip(tmp_path: Path) -> None:
    assert map_shard(write_shard(tmp_path / "a.bin", [1, 65535, 7])).tolist() == [1, 65535, 7]


@pytest.mark.parametrize("damage", [{"magic": 20240521}, {"version": 2}, {"extra": b"\0"}, {"extra": b"\0\0"}], ids=str)
def test_a_shard_that_is_not_exact_is_refused(tmp_path: Path, damage: dict[str, object]) -> None:
    shard = write_shard(tmp_path / "a.bin", [1, 2, 3], **damage)  # type: ignore[arg-type]
    with pytest.raises(DataRefused, match=r"a\.bin"):
        map_shard(shard)


@pytest.mark.parametrize("keep", [0, 100, 1023, 1024, 1029])
def test_a_truncated_shard_is_refused(tmp_path: Path, keep: int) -> None:
    shard = write_shard(tmp_path / "a.bin", [1, 2, 3])
    shard.path.write_bytes(shard.path.read_bytes()[:keep])
    with pytest.raises(DataRefused):
        map_shard(shard)


def test_a_token_count_that_differs_from_the_manifest_is_refused(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.bin", [1, 2, 3])
    with pytest.raises(DataRefused, match="a header for 3 tokens, expected 1,032 bytes for 4 tokens"):
        map_shard(ShardFile(shard.path, 4))


def test_a_stream_wraps_around(tmp_path: Path) -> None:
    sizes = [5, 1, 7]
    tokens = list(range(100, 113))
    parts = np.split(np.array(tokens), np.cumsum(sizes)[:-1])
    stream = TokenStream([write_shard(tmp_path / f"{i}.bin", part.tolist()) for i, part in enumerate(parts)])
    circle = tokens * 4
    for position in range(13):
        for count in (1, 3, 13, 20):
            assert stream.read(position + 13, count).tolist() == circle[position : position + count]
