"""Groups of runs as CSV, for programs: docs/csv_and_json.md documents the columns."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pgolf.report.leaderboard import Entry
from pgolf.report.rows import Group
from pgolf.report.tables import DAMAGED

SEED_COLUMNS = (
    "run_id", "run_dir", "log", "seed", "val_bpb", "val_loss", "metric", "stage", "protocol", "steps", "train_seconds",
    "evaluate_seconds", "model_bytes", "code_bytes", "total_bytes", "usd", "problems",
)  # fmt: skip
SPREAD_COLUMNS = ("n", "mean", "std", "ci95_low", "ci95_high")
GROUP_COLUMNS = (
    "name", "source", "folder", "spec_sha256", "code_sha256", "data_sha256", "ruleset", "limit_bytes",
    *SPREAD_COLUMNS, "group_problems",
)  # fmt: skip
TEST_COLUMNS = ("baseline", "delta_bpb", "p_one_sided", "p_with_margin")
COLUMNS = (*GROUP_COLUMNS, *SEED_COLUMNS, *TEST_COLUMNS)
LEADERBOARD_COLUMNS = (
    "rank", "name", "folder", "metric", *SPREAD_COLUMNS, "claimed_bpb", "max_total_bytes", "limit_bytes", "ruleset",
    "refused_for", "refusal", "submitted", "methods", "problems",
)  # fmt: skip
# What spreadsheets take as the beginning of a formula.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def csv_table(groups: Sequence[Group], tests: Sequence[dict[str, Any] | None] | None = None) -> str:
    """Return one line per seed, which repeats the facts of its group and the group's test against a baseline.

    A damaged run has a line without numbers. The columns are COLUMNS, then one for each swept key.
    """
    rows: list[dict[str, Any]] = []
    swept: dict[str, None] = {}
    for group, test in zip(groups, tests or [None] * len(groups), strict=True):
        facts = group.as_json()
        of_group = facts | spread_cells(facts) | {"group_problems": rules_of(facts["problems"])} | (test or {})
        point = {f"spec.{key}" if key in COLUMNS else key: value for key, value in facts.get("swept", {}).items()}
        swept |= dict.fromkeys(point)
        rows += [of_group | seed | {"problems": rules_of(seed["problems"])} | point for seed in facts["seeds"]]
        for run in facts.get("damaged", ()):
            without_numbers = dict.fromkeys(SEED_COLUMNS) | run | {"problems": f"{DAMAGED}: {run['reason']}"}
            rows.append(of_group | without_numbers | point)
    return csv_text((*COLUMNS, *swept), rows)


def leaderboard_csv(entries: Sequence[Entry]) -> str:
    """Return the ranking, one line per record."""
    return csv_text(LEADERBOARD_COLUMNS, map(leaderboard_cells, entries))


def leaderboard_cells(entry: Entry) -> dict[str, Any]:
    """Return the cells of a record by column."""
    facts = entry.as_json()
    texts = {
        "refused_for": entry.refusal,
        "methods": "; ".join(each["method"] for each in facts["methods"]),
        "problems": rules_of(facts["problems"]),
    }
    return facts | spread_cells(facts) | texts


def spread_cells(facts: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the bounds of a group's interval as cells of their own."""
    low, high = facts["ci95"] or (None, None)
    return {"ci95_low": low, "ci95_high": high}


def rules_of(problems: Iterable[Mapping[str, str]]) -> str:
    """Return the rules of some problems, each once, in one cell."""
    return "; ".join(dict.fromkeys(problem["rule"] for problem in problems))


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV; cells of other columns are left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def cell(value: object) -> object:
    """Return a value as a cell: numbers unrounded, nothing for None, lists and truth values as JSON, text made safe."""
    if isinstance(value, bool | list | dict):
        return json.dumps(value)
    return harmless(value) if isinstance(value, str) else value


def harmless(text: str) -> str:
    """Return a text, after a quote if a spreadsheet would take it for a formula; a number in a text stays one."""
    with suppress(ValueError):
        float(text)
        return text
    return f"'{text}" if text.startswith(FORMULA_SIGNS) and text != "-" else text
