"""Tables of any content at any width: numbers whole, names distinct, nothing wider than the terminal where it fits."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from pgolf.cli.display.table import (
    GAP,
    LONGEST_WORD,
    Column,
    FittedTable,
    broken_between,
    distinct_width,
    shortened_names,
)

LETTERS = st.text("abcdef=._-/0123456789文字版", min_size=1, max_size=40)
ROWS = st.lists(st.tuples(LETTERS, st.integers(0, 10**9), st.integers(0, 10**6), LETTERS), min_size=1, max_size=8)


def printed(table: FittedTable, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def made(rows: list[tuple[str, int, int, str]]) -> FittedTable:
    table = FittedTable(
        Column("run", "name"), Column("bytes", "number"), Column("steps", "number", priority=1), Column("why", "text")
    )
    for name, size, steps, text in rows:
        table.add_row(name, f"{size:,}", f"{steps}", text)
    return table


@given(ROWS, st.integers(70, 160))
def test_numbers_are_whole_and_lines_fit(rows: list[tuple[str, int, int, str]], width: int) -> None:
    lines = printed(made(rows), width)
    names = distinct_width([row[0] for row in rows])
    needed = max(3, names) + max(5, *(len(f"{row[1]:,}") for row in rows)) + LONGEST_WORD + 2 * GAP
    assert needed > width or max(map(cell_len, lines)) <= width
    assert all(any(f"{size:,}" in line.split() for line in lines) for _, size, _, _ in rows)


@given(ROWS)
def test_a_column_is_shown_whole_or_not_at_all(rows: list[tuple[str, int, int, str]]) -> None:
    for width in range(60, 120, 7):
        title, *lines = printed(made(rows), width)
        if "steps" in title.split():
            assert all(any(str(steps) in line.split() for line in lines) for _, _, steps, _ in rows)
    assert "steps" in printed(made(rows), 160)[0]


@given(st.sets(LETTERS, min_size=2, max_size=20))
def test_shortened_names_still_differ_and_keep_both_ends(names: set[str]) -> None:
    width = distinct_width([*names])
    shown = shortened_names([*names], width)
    assert len({*shown.values()}) == len(names)
    for name, short in shown.items():
        head, mark, tail = short.partition("…")
        assert cell_len(short) <= width
        assert short == name or (mark and head and tail and name.startswith(head) and name.endswith(tail))


def test_names_that_differ_in_the_middle_are_not_cut_there() -> None:
    names = [f"pr1579_crawler lr=0.0{digit} weight_decay=0.085 fraction=0.6" for digit in (1, 2)]
    shown = shortened_names(names, distinct_width(names))
    assert len({*shown.values()}) == 2
    assert max(map(len, shown.values())) < len(names[0])


@given(st.lists(LETTERS, min_size=1, max_size=6), st.integers(10, 90))
def test_a_line_is_broken_between_its_parts_only(parts: list[str], width: int) -> None:
    lines = [*broken_between(parts, width)]
    assert [part for line in lines for part in line.strip().split(" " * GAP)] == parts
    assert all(cell_len(line) <= width or len(line.strip().split(" " * GAP)) == 1 for line in lines)


@pytest.mark.parametrize("width", [15, 20, 30])
def test_a_terminal_that_is_too_narrow_still_shows_every_number(width: int) -> None:
    lines = printed(made([("a-long-name-of-a-run", 123_456_789, 7, "fits")]), width)
    assert "123,456,789" in " ".join(lines)


def test_a_hidden_column_can_be_named() -> None:
    table = FittedTable(Column("a"), Column("b", priority=1), has_hidden_line=True)
    table.add_row("x" * 20, "y" * 20)
    assert printed(table, 30)[-2:] == ["no room for b; widen the", "terminal or use --json"]
    assert "y" * 20 in printed(table, 42)[-1]


def test_an_empty_column_of_low_priority_is_left_out() -> None:
    table = FittedTable(Column("a"), Column("b", priority=1))
    table.add_row("x", "")
    assert printed(table, 80) == ["a", "x"]
