"""Groups of runs as CSV, for programs and spreadsheets."""

import csv
import io
from collections.abc import Sequence

from pgolf.report.rows import Group


def spreadsheet_cell(value: object) -> object:
    """Return a cell, prefixed with a quote if a spreadsheet would take it for a formula."""
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and value != "-"
        else value
    )


def csv_table(groups: Sequence[Group]) -> str:
    """Return one CSV line per seed, with unrounded numbers."""
    text = io.StringIO()
    facts = [{"name": group.name, **row.as_json()} for group in groups for row in group.rows]
    columns = dict.fromkeys(key for row in facts for key in row if key != "from") or {"name": None}
    writer = csv.DictWriter(text, fieldnames=list(columns), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in facts:
        row["problems"] = "; ".join(problem["rule"] for problem in row["problems"])
        writer.writerow({key: spreadsheet_cell(value) for key, value in row.items()})
    return text.getvalue()
