"""Files of rows: which are read, and that no content takes much memory."""

import tracemalloc
from pathlib import Path

import pytest
from typing_extensions import TypedDict

from pgolf.documents import MOST_BYTES_OF_ROWS, MOST_ROWS, read_rows
from trainer.recipe.strict import Whole


class Row(TypedDict):
    step: Whole


def test_a_last_line_that_is_half_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert read_rows(path, Row) == [{"step": 1}, {"step": 2}]
    path.write_text('{"step": 1}\n{"step": 2}')
    assert read_rows(path, Row) == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"\n" * MOST_ROWS, ":1: Expecting value"),
        (b'{"step": 1}\n' + b'{"step": 2}\r\n' + b"\n" * (MOST_ROWS // 2), ":3: Expecting value"),
        (b'{"step": "x"}\n' * 100_000, ":1: step: expected a whole number, found 'x'"),
        (b"\n" * (MOST_ROWS + 1), ": found more than 1,000,000 lines"),
        (b"{}\n" * (2 * MOST_ROWS), ": found more than 1,000,000 lines"),
    ],
    ids=["blank lines", "blank lines after rows", "wrong rows", "a million blank lines and one", "too many rows"],
)
def test_rows_are_read_up_to_the_first_bad_one(tmp_path: Path, content: bytes, refusal: str) -> None:
    """The rest takes no memory but its own bytes."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"rows\.jsonl") as refused:
            read_rows(path, Row)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(refused.value).startswith(f"{path}{refusal}")
    assert most < MOST_BYTES_OF_ROWS + 3 * len(content)
