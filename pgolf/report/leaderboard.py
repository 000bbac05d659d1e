"""All submission folders below one, ranked by what their logs say."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.records.groups import record_groups
from pgolf.records.rows import RecordGroup
from pgolf.report.reading import records_below
from pgolf.report.tables import markdown_lines, spreadsheet_cell
from pgolf.rulesets.ruleset import Ruleset

COLUMNS = ("rank", "record", "mean bpb", "std", "n", "metric", "largest bytes", "claimed bpb", "verdict", "problems")


UNRANKED = {"single_seed", "fewer_than_three_seeds", "hardware_not_8xH100", "no_size_in_log"}
"""What is no fault, and no record either."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record's place."""

    rank: int | None
    """None where nothing can be ranked: no score in a log, or a problem that a record is refused for."""
    group: RecordGroup

    @property
    def refusals(self) -> list[str]:
        """Rules that the record fails."""
        refused = (f.rule for f in self.group.problems() if f.severity == "fail" or f.rule in UNRANKED)
        return list(dict.fromkeys(refused))

    def as_json(self) -> dict[str, Any]:
        """The record's group with its place."""
        claimed = self.group.record.claims.headline
        return {"rank": self.rank, "claimed_bpb": claimed, "refused_for": self.refusals, **self.group.as_json()}

    def cells(self) -> list[str]:
        """The record's line in a table."""
        spread, claimed = self.group.spread, self.group.record.claims.headline
        warnings = [found.rule for found in self.group.problems() if found.rule not in self.refusals]
        return [
            "-" if self.rank is None else str(self.rank),
            self.group.name,
            "-" if spread is None else f"{spread.mean:.6f}",
            "-" if spread is None or spread.std is None else f"{spread.std:.6f}",
            str(len(self.group.rows)),
            self.group.label or "-",
            "-" if self.group.max_total_bytes is None else f"{self.group.max_total_bytes:,}",
            "-" if claimed is None else f"{claimed}",
            f"no: {', '.join(self.refusals)}" if self.refusals else "passes",
            ", ".join(dict.fromkeys(warnings)),
        ]


def ranked(folder: Path, ruleset: Ruleset) -> list[Entry]:
    """The records below a folder, those that pass by their mean, the rest after them."""
    groups = [record_groups(record, ruleset)[0] for record in records_below(folder)]
    entries = [Entry(None, group) for group in groups]
    passing = [entry for entry in entries if entry.group.spread is not None and not entry.refusals]
    passing.sort(key=mean_of)
    refused = sorted((entry for entry in entries if entry not in passing), key=mean_of)
    return [*(Entry(rank, entry.group) for rank, entry in enumerate(passing, start=1)), *refused]


def mean_of(entry: Entry) -> float:
    """What entries are sorted by; those without a score come last."""
    return float("inf") if entry.group.spread is None else entry.group.spread.mean


def leaderboard_markdown(entries: list[Entry]) -> str:
    """The ranking as a Markdown table."""
    return "\n".join(markdown_lines(COLUMNS, (entry.cells() for entry in entries))) + "\n"


def leaderboard_csv(entries: list[Entry]) -> str:
    """The ranking as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([spreadsheet_cell(cell) for cell in entry.cells()] for entry in entries)
    return text.getvalue()
