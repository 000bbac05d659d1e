"""Leaderboard: the submission folders below a folder, ranked by the scores in their logs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from pgolf.findings import counted
from pgolf.report.reading import records_below
from pgolf.report.standing import Standing
from pgolf.report.standings import read_standings
from pgolf.report.tables import format_number, markdown_lines, markdown_text
from pgolf.rulesets.ruleset import Ruleset

COLUMNS = ("rank", "record", "mean bpb", "std", "n", "metric", "largest bytes", "claimed bpb", "problems")
# Logs print at most eight decimals: means that are equal to that many are a tie.
TIE_DECIMALS = 8
AMBIGUOUS = "ambiguous"
NO_SCORE, OVER_LIMIT, BEFORE_PACKING, SAME_LOGS = "no_score", "over_cap", "prequant_only", "same_logs"


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and its rank."""

    standing: Standing
    rank: int | None = None
    """None if the record is not ranked. Records with the same mean share a rank."""
    refusal: str | None = None
    """The rule for which it is not ranked."""
    reason: str = ""
    """Why it is not ranked, in words."""
    name: str = ""
    """The folder's name; its path where several records have that name."""

    @property
    def rules(self) -> list[str]:
        """The rules of the record's problems, each once, without the one for which it is not ranked."""
        rules = dict.fromkeys(problem["rule"] for problem in self.standing.problems)
        return [rule for rule in rules if rule != self.refusal]

    @property
    def verdict(self) -> str:
        """The rules that failed, whether the record's score is ambiguous, and how many other rules only warn."""
        status = {problem["rule"]: problem["status"] for problem in self.standing.problems}
        named = [rule for rule in self.rules if status[rule] == "fail" or rule == AMBIGUOUS]
        others = len(self.rules) - len(named)
        return ", ".join([*named, *([counted(others, "warning")] if others else [])])

    def as_json(self) -> dict[str, Any]:
        """Return the record's group with its rank."""
        return {
            "rank": self.rank,
            "claimed_bpb": self.standing.claimed_bpb,
            "refused_for": [] if self.refusal is None else [self.refusal],
            "refusal": self.reason or None,
            "submitted": self.standing.submitted,
            "hardware": self.standing.hardware,
            "methods": [{"method": each.method, "from": each.place} for each in self.standing.methods],
            **self.standing.group,
        }

    def cells(self) -> list[str]:
        """Return the record's row in a table."""
        group = self.standing.group
        return [
            "-" if self.rank is None else str(self.rank),
            self.name,
            format_number(self.standing.mean, ".6f"),
            format_number(group["std"], ".6f"),
            str(group["n"]),
            group["metric"] or "-",
            format_number(group["max_total_bytes"], ","),
            "-" if self.standing.claimed_bpb is None else f"{self.standing.claimed_bpb}",
            ", ".join(self.rules),
        ]


def ranked(folder: Path, ruleset: Ruleset) -> list[Entry]:
    """Return the records below a folder: the ranked ones by their mean, then those that are not ranked."""
    return rank(read_standings(records_below(folder), ruleset))


def rank(standings: Sequence[Standing]) -> list[Entry]:
    """Return standings in their order: the ranked ones by their mean, then the others with the reason."""
    by_mean = sorted(standings, key=lambda standing: inf if standing.mean is None else standing.mean)
    first_of_runs: dict[str | None, Standing] = {}
    for standing in standings:
        first_of_runs.setdefault(standing.runs_sha256, standing)
    names = Counter(standing.name for standing in standings)
    entries: list[Entry] = []
    refused: list[Entry] = []
    for standing in by_mean:
        name = standing.name if names[standing.name] == 1 else standing.place
        refusal, reason = refusal_of(standing, first_of_runs[standing.runs_sha256])
        if refusal is not None:
            refused.append(Entry(standing, None, refusal, reason, name))
            continue
        last = entries[-1] if entries else None
        is_tie = last is not None and rounded_mean(last.standing) == rounded_mean(standing)
        place = last.rank if last is not None and is_tie else len(entries) + 1
        entries.append(Entry(standing, place, name=name))
    return [*entries, *refused]


def refusal_of(standing: Standing, first: Standing) -> tuple[str | None, str]:
    """Return the rule for which a record is not ranked, and why; None for a record that is ranked.

    Args:
        standing: The record's.
        first: Of the first record with the same logs, which may be the record itself.
    """
    group = standing.group
    if standing.mean is None:
        return NO_SCORE, "no log has a final score"
    if standing.is_before_packing:
        return BEFORE_PACKING, "no log scores the packed model"
    if group["over_limit"]:
        return OVER_LIMIT, f"{group['max_total_bytes']:,} bytes, and the limit is {group['limit_bytes']:,}"
    if first is not standing and standing.runs_sha256 is not None:
        return SAME_LOGS, f"the same logs as {first.place}"
    return None, ""


def rounded_mean(standing: Standing) -> float:
    """Return the mean at the precision at which two means are compared."""
    assert standing.mean is not None
    return round(standing.mean, TIE_DECIMALS)


def not_ranked_lines(entries: Sequence[Entry]) -> list[str]:
    """Return a line about each record that is not ranked."""
    return [f"not ranked: {each.name}: {each.reason}" for each in entries if each.rank is None]


def leaderboard_markdown(entries: Sequence[Entry]) -> str:
    """Return the ranking as a Markdown table, and why the others are not ranked."""
    lines = markdown_lines(COLUMNS, (entry.cells() for entry in entries))
    refused = [f"- {markdown_text(line)}" for line in not_ranked_lines(entries)]
    return "\n".join([*lines, *(["", *refused] if refused else [])]) + "\n"
