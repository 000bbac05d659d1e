"""Tables of scores in logs, as lines that the dialects read."""

import re
from collections.abc import Sequence

ROW = re.compile(r"^\s*[|│┃](.*)[|│┃]\s*$")
BORDER = re.compile(r"^[\s|│┃├┤┼╇╈┡┩┠┨┏┓┗┛┌┐└┘┬┴┳┻╋╂╀━─=+:-]*$")
BPB_HEAD = re.compile(r"(?:val[_ ])?bpb", re.IGNORECASE)
LOSS_HEAD = re.compile(r"val[_ ]loss", re.IGNORECASE)
DECIMAL_CELL = re.compile(r"\d{1,3}\.\d{2,18}(?:[eE][-+]?\d{1,3})?")
# A table whose first column has one of these names is of several runs, or of one in progress.
OF_SEVERAL = re.compile(
    r"\b(?:seeds?|runs?|steps?|iter(?:ation)?s?|epochs?|configs?|configuration|experiments?|log)\b", re.IGNORECASE
)


def spell_tables(lines: list[str]) -> list[str]:
    """Return the lines of a log with each row of a table of scores spelled as a line: `sliding val_bpb:1.0812`."""
    spelled = list(lines)
    heads: Sequence[str] = ()
    for place, line in enumerate(lines):
        cells = cells_of_row(line)
        if cells is None:
            heads = heads if heads and BORDER.match(line) and line.strip() else ()
        elif not heads:
            heads = cells
        elif any(cells):
            spelled[place] = spelled_row(heads, cells) or line
    return spelled


def cells_of_row(line: str) -> list[str] | None:
    """Return the cells of a row of a table; None if the line is none, or a border."""
    found = ROW.match(line)
    if found is None or BORDER.match(line):
        return None
    return [cell.strip(" *`") for cell in re.split("[|│┃]", found[1])]


def spelled_row(heads: Sequence[str], cells: Sequence[str]) -> str | None:
    """Return a row as a line; None if its table has no column of bits per byte, or is not of one finished run."""
    if len(cells) == 2 and BPB_HEAD.search(cells[0]) and DECIMAL_CELL.fullmatch(cells[1]):
        return f"{cells[0]}: {cells[1]}"
    if OF_SEVERAL.search(heads[0]) or DECIMAL_CELL.fullmatch(cells[0]):
        return None
    columns = dict(zip(heads, cells, strict=False))
    scores = [cell for head, cell in columns.items() if BPB_HEAD.fullmatch(head) and DECIMAL_CELL.fullmatch(cell)]
    losses = [cell for head, cell in columns.items() if LOSS_HEAD.fullmatch(head) and DECIMAL_CELL.fullmatch(cell)]
    if len(scores) != 1:
        return None
    loss = f"val_loss:{losses[0]} " if len(losses) == 1 else ""
    return f"{cells[0]} {loss}val_bpb:{scores[0]}"
