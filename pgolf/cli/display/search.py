"""The result of a search."""

import json
from typing import Any

from pgolf.cli.display.console import answer_console, print_json
from pgolf.cli.display.table import Column, FittedTable
from pgolf.findings import counted
from pgolf.search.halving import Standing, leader, standing_of, standings
from pgolf.search.ledger import Ledger
from pgolf.specs.search import Search
from pgolf.specs.sweeps import label_of
from pgolf.statistics import summarise


def show_search(search: Search, ledger: Ledger, why: str, is_json: bool) -> None:
    """Print every point with its result, the best first."""
    candidates = ledger.candidates()
    ranking = standings(search, candidates)
    best = leader(search, [each for each in candidates if each.ended is None])
    spent = {unit: ledger.spent(unit) for unit in ("runs", "seconds", "usd")}
    if is_json:
        rows = [row(search, standing) for standing in ranking]
        found = None if best is None else row(search, standing_of(search, best))
        print_json({"ended": why, "ledger": str(ledger.path), "spent": spent, "best": found, "candidates": rows})
        return
    table = FittedTable(
        Column("#", "number"),
        Column("point", "name"),
        Column("share", "number", priority=1),
        Column("seeds", "number"),
        Column("val_bpb", "number"),
        Column("by", priority=2),
        Column("", "text"),
    )
    for standing in ranking:
        facts = row(search, standing)
        score = "" if facts["val_bpb"] is None else f"{facts['val_bpb']:.6f}"
        cells = (
            f"{facts['number']}",
            label_of(facts["point"]),
            f"{facts['share']:g}",
            f"{facts['seeds']}",
            score,
            facts["by"],
        )
        table.add_row(*cells, facts["ended"] or ("best" if standing.candidate is best else ""))
    console = answer_console()
    console.print(table)
    console.print(
        f"{why}; {counted(round(spent['runs']), 'run')}, {spent['seconds']:.0f} s, ${spent['usd']:.2f}", markup=False
    )
    if best is not None:
        words = " ".join(f"--set {key}={json.dumps(value)}" for key, value in best.point.items())
        console.print(f"best: {words}", markup=False)
    console.print(f"ledger: {ledger.path}", markup=False)


def row(search: Search, standing: Standing) -> dict[str, Any]:
    """Return a point and how it stands, as in `--json`."""
    candidate = standing.candidate
    scores = [*candidate.scores.get(standing.rung, {}).values()]
    spread = None if standing.score is None else summarise(scores)
    return {
        "number": candidate.number,
        "point": candidate.point,
        "by": candidate.by,
        "rung": standing.rung,
        "share": search.rungs[standing.rung].share,
        "run_id": candidate.runs.get(standing.rung),
        "seeds": len(scores),
        "val_bpb": standing.score,
        "std": None if spread is None else spread.std,
        "ci95": None if spread is None else spread.ci95,
        "ended": candidate.ended,
    }
