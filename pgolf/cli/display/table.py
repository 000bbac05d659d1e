"""Tables that fit the width they are printed on.

Numbers are never cut. Where a table is too wide, texts wrap; names are shortened in the middle, so that names that
differ still differ; then the columns of the lowest priority are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

GAP = INDENT = 2
# Names are shortened to the first width before columns are left out, and to the second one after that.
SHORT_NAME, SHORTEST_NAME = 22, 12
# A text of a few words is not wrapped. A text column is at least as wide as its longest word, but words may be broken
# from the second width on.
SHORT_TEXT, LONGEST_WORD = 14, 27

Kind = Literal["number", "word", "name", "text"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    kind: Kind = "word"
    """Numbers are right-justified. Numbers and words are never cut, names are shortened in the middle, texts wrap."""
    priority: int = 0
    """Columns of priority 0 are always shown; of the others the one with the largest number is left out first."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """The cells of one line."""

    cells: list[Text]
    style: str


@dataclass(frozen=True, slots=True)
class FullLine:
    """A line across all columns, made of parts that are not broken."""

    parts: list[str]
    style: str


@dataclass(frozen=True, slots=True)
class Note:
    """A text under a line, indented and wrapped."""

    text: str
    style: str


class FittedTable:
    """A table that is laid out when it is printed.

    With `has_hidden_line` a last line names the columns that were left out.
    """

    def __init__(self, *columns: Column, has_titles: bool = True, has_hidden_line: bool = False) -> None:
        self.columns, self.has_titles, self.has_hidden_line = columns, has_titles, has_hidden_line
        self.lines: list[TableRow | FullLine | Note] = []
        self.shortest_name = SHORT_NAME

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        """Add a line with one cell per column."""
        assert len(cells) == len(self.columns), f"{len(cells)} cells for {len(self.columns)} columns"
        self.lines.append(TableRow([cell if isinstance(cell, Text) else Text(cell) for cell in cells], style))

    def add_line(self, *parts: str, style: str = "") -> None:
        """Add a line across all columns; if it is too long, it continues indented, and no part is broken."""
        self.lines.append(FullLine([part for part in parts if part], style))

    def add_note(self, text: str, style: str = "") -> None:
        """Add a text under the line before."""
        self.lines.append(Note(text, style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines for the console's width."""
        for line in self.laid_out(console, options.max_width):
            line.rstrip()
            yield line

    def laid_out(self, console: Console, width: int) -> Iterator[Text]:
        """Yield the lines of the table."""
        rows = [line for line in self.lines if isinstance(line, TableRow)]
        shown = self.shown_columns(rows, width)
        widths = self.widths(rows, shown, width)
        names = {
            index: shortened_names([row.cells[index].plain for row in rows], widths[index])
            for index in shown
            if self.columns[index].kind == "name"
        }
        if self.has_titles and any(column.title for column in self.columns):
            titles = [Text(self.columns[index].title) for index in shown]
            yield from self.fill(console, shown, widths, titles, "bold")
        for line in self.lines:
            if isinstance(line, FullLine):
                yield from (Text(text, style=line.style) for text in broken_between(line.parts, width))
                continue
            if isinstance(line, Note):
                for piece in Text(line.text, style=line.style).wrap(console, width - INDENT):
                    yield Text(" " * INDENT) + piece
                continue
            cells = [
                Text(names[index][line.cells[index].plain], style=line.cells[index].style)
                if index in names
                else line.cells[index]
                for index in shown
            ]
            yield from self.fill(console, shown, widths, cells, line.style)
        hidden = [column.title for index, column in enumerate(self.columns) if index not in shown]
        if hidden and self.has_hidden_line:
            told = f"no room for {', '.join(hidden)}; widen the terminal or use --json"
            yield from Text(told, style="dim").wrap(console, width)

    def fill(
        self, console: Console, shown: list[int], widths: dict[int, int], cells: Sequence[Text], style: str
    ) -> Iterator[Text]:
        """Yield the lines of one row."""
        columns = [
            list(cell.wrap(console, widths[index])) if self.columns[index].kind == "text" else [cell.copy()]
            for index, cell in zip(shown, cells, strict=True)
        ]
        for pieces in zip_longest(*columns, fillvalue=Text()):
            line = Text(style=style)
            for position, (index, piece) in enumerate(zip(shown, pieces, strict=True)):
                piece.truncate(widths[index], overflow="ellipsis")
                padding = " " * (widths[index] - piece.cell_len)
                line.append(" " * (GAP if position else 0))
                line.append_text(Text(padding) + piece if self.columns[index].kind == "number" else piece + padding)
            yield line

    def shown_columns(self, rows: list[TableRow], width: int) -> list[int]:
        """Return the indices of the columns that fit, those of one priority together. Empty ones are left out."""
        filled = [index for index, _ in enumerate(self.columns) if any(row.cells[index].plain.strip() for row in rows)]
        self.shortest_name = SHORT_NAME
        shown = [index for index, column in enumerate(self.columns) if not column.priority]
        if self.least_total(rows, shown) > width:
            self.shortest_name = SHORTEST_NAME
            return shown
        for priority in sorted({column.priority for column in self.columns} - {0}):
            more = [index for index in filled if self.columns[index].priority == priority]
            if self.least_total(rows, [*shown, *more]) <= width:
                shown += more
        return sorted(shown)

    def least_total(self, rows: list[TableRow], shown: list[int]) -> int:
        """Return the smallest width of a table of some columns."""
        return sum(self.least_width(rows, index) + GAP for index in shown) - GAP

    def widths(self, rows: list[TableRow], shown: list[int], width: int) -> dict[int, int]:
        """Return the widths of the shown columns. Names get what is left over first, then texts by what they lack."""
        widths = {index: self.least_width(rows, index) for index in shown}
        left = max(0, width - sum(widths.values()) - GAP * (len(shown) - 1))
        lacks = {index: self.full_width(rows, index) - widths[index] for index in shown}
        for index in (index for index in shown if self.columns[index].kind == "name"):
            more = min(left, lacks[index])
            widths[index] += more
            left -= more
        texts = [index for index in shown if self.columns[index].kind == "text"]
        lacking = sum(lacks[index] for index in texts)
        for index in texts:
            widths[index] += min(lacks[index], left * lacks[index] // max(1, lacking))
        return widths

    def full_width(self, rows: list[TableRow], index: int) -> int:
        """Return the width at which nothing of a column is shortened or wrapped."""
        lines = (line for row in rows for line in row.cells[index].plain.splitlines())
        return max(self.title_width(index), *map(cell_len, lines), 0)

    def least_width(self, rows: list[TableRow], index: int) -> int:
        """Return the smallest width of a column."""
        full = self.full_width(rows, index)
        match self.columns[index].kind:
            case "name":
                names = [row.cells[index].plain for row in rows]
                return min(full, max(self.title_width(index), distinct_width(names, self.shortest_name)))
            case "text":
                words = (word for row in rows for word in row.cells[index].plain.split())
                longest = min(LONGEST_WORD, max(map(cell_len, words), default=0))
                return min(full, max(self.title_width(index), longest, SHORT_TEXT))
            case _:
                return full

    def title_width(self, index: int) -> int:
        """Return the width of a column's title."""
        return cell_len(self.columns[index].title) if self.has_titles else 0


def broken_between(parts: Sequence[str], width: int) -> Iterator[str]:
    """Yield the parts joined into lines of at most `width`, the later ones indented."""
    line = ""
    for part in parts:
        longer = f"{line}{' ' * GAP}{part}" if line else part
        if line and cell_len(longer) > width:
            yield line
            longer = " " * INDENT + part
        line = longer
    yield line


def shortened(name: str, width: int, tail: int) -> str:
    """Return a name of at most `width` cells, without its middle if it is longer; `tail` cells of its end are kept."""
    if cell_len(name) <= width:
        return name
    end = name[::-1]
    return f"{fitting(name, width - 1 - tail)}…{fitting(end, tail)[::-1]}"


def fitting(text: str, cells: int) -> str:
    """Return as much of the beginning of a text as fits into some cells; wide characters take two."""
    while cell_len(text) > cells:
        text = text[: min(len(text) - 1, cells)]
    return text


def distinct_tail(names: set[str], width: int) -> int | None:
    """Return the tail that keeps all names distinct at a width, nearest to half of it; None if no tail does."""
    half = (width - 1) // 2
    for tail in sorted(range(1, width - 1), key=lambda tail: abs(tail - half)):
        if len({shortened(name, width, tail) for name in names}) == len(names):
            return tail
    return None


def distinct_width(names: Sequence[str], shortest: int = SHORTEST_NAME) -> int:
    """Return the smallest width, from `shortest` on, at which shortened names still differ."""
    different, longest = set(names), max(map(cell_len, names), default=0)
    return next((width for width in range(shortest, longest) if distinct_tail(different, width) is not None), longest)


def shortened_names(names: Sequence[str], width: int) -> dict[str, str]:
    """Return each name as it is shown at a width at which all differ."""
    different = set(names)
    tail = distinct_tail(different, width) or (width - 1) // 2
    return {name: shortened(name, width, tail) for name in different}
