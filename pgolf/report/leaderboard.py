"""Leaderboard: the submission folders below a folder, ranked by the scores in their logs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.records.groups import record_groups
from pgolf.records.rows import RecordGroup
from pgolf.report.reading import records_below
from pgolf.report.tables import markdown_lines
from pgolf.rulesets.ruleset import Ruleset

COLUMNS = ("rank", "record", "mean bpb", "std", "n", "metric", "largest bytes", "claimed bpb", "verdict", "problems")
# Warnings that are no fault of a submission, but exclude it from the ranking.
UNRANKED = {"single_seed", "fewer_than_three_seeds", "hardware_not_8xH100", "no_size_in_log"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and its rank."""

    rank: int | None
    """None if the record is not ranked: no log has a score, or a problem excludes it."""
    group: RecordGroup

    @property
    def refusals(self) -> list[str]:
        """Rules for which the record is not ranked."""
        refused = (f.rule for f in self.group.problems() if f.severity == "fail" or f.rule in UNRANKED)
        return list(dict.fromkeys(refused))

    def as_json(self) -> dict[str, Any]:
        """Return the record's group with its rank."""
        claimed = self.group.record.claims.headline
        return {
            "rank": self.rank,
            "claimed_bpb": None if claimed is None else claimed.value,
            "refused_for": self.refusals,
            **self.group.as_json(),
        }

    def cells(self) -> list[str]:
        """Return the record's row in a table."""
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
            "-" if claimed is None else f"{claimed.value}",
            f"no: {', '.join(self.refusals)}" if self.refusals else "passes",
            ", ".join(dict.fromkeys(warnings)),
        ]


def ranked(folder: Path, ruleset: Ruleset) -> list[Entry]:
    """Return the records below a folder: those that pass, by their mean, then all others."""
    groups = [record_groups(record, ruleset)[0] for record in records_below(folder)]
    entries = [Entry(None, group) for group in groups]
    passing = [entry for entry in entries if entry.group.spread is not None and not entry.refusals]
    passing.sort(key=mean_of)
    refused = sorted((entry for entry in entries if entry not in passing), key=mean_of)
    return [*(Entry(rank, entry.group) for rank, entry in enumerate(passing, start=1)), *refused]


def mean_of(entry: Entry) -> float:
    """Return the sort key of an entry: its mean score; infinity without one."""
    return float("inf") if entry.group.spread is None else entry.group.spread.mean


def leaderboard_markdown(entries: list[Entry]) -> str:
    """Return the ranking as a Markdown table."""
    return "\n".join(markdown_lines(COLUMNS, (entry.cells() for entry in entries))) + "\n"
