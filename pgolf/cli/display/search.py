"""The result of a search."""

import json
from typing import Any

from rich.table import Table
from rich.text import Text

from pgolf.cli.display.console import answer_console, print_json
from pgolf.search.halving import leader
from pgolf.search.ledger import Candidate, Ledger
from pgolf.specs.search import Search
from pgolf.specs.sweeps import label_of


def show_search(search: Search, ledger: Ledger, why: str, is_json: bool) -> None:
    """Print every point with its result, the best first."""
    candidates = ledger.candidates()
    ranking = sorted(candidates, key=lambda each: order(search, each))
    best = leader(search, [each for each in candidates if each.ended is None])
    spent = {unit: ledger.spent(unit) for unit in ("runs", "seconds", "usd")}
    if is_json:
        rows = [row(search, candidate) for candidate in ranking]
        found = None if best is None else row(search, best)
        print_json({"ended": why, "ledger": str(ledger.path), "spent": spent, "best": found, "candidates": rows})
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("#", "point", "share", "seeds", "val_bpb", "by", ""):
        table.add_column(column)
    for candidate in ranking:
        facts = row(search, candidate)
        score = "" if facts["val_bpb"] is None else f"{facts['val_bpb']:.6f}"
        cells = (
            f"{facts['number']}",
            label_of(facts["point"]),
            f"{facts['share']:g}",
            f"{facts['seeds']}",
            score,
            facts["by"],
        )
        table.add_row(*cells, Text(facts["ended"] or ("best" if candidate is best else "")))
    console = answer_console()
    console.print(table)
    console.print(f"{why}; {spent['runs']:.0f} runs, {spent['seconds']:.0f} s, ${spent['usd']:.2f}", markup=False)
    if best is not None:
        words = " ".join(f"--set {key}={json.dumps(value)}" for key, value in best.point.items())
        console.print(f"best: {words}", markup=False)
    console.print(f"ledger: {ledger.path}", markup=False)


def order(search: Search, candidate: Candidate) -> tuple[bool, int, float, int]:
    """Return the sort key: points on the highest rung first, then by score."""
    facts = row(search, candidate)
    score = float("inf") if facts["val_bpb"] is None else facts["val_bpb"]
    return candidate.ended is not None, -facts["rung"], score, candidate.number


def row(search: Search, candidate: Candidate) -> dict[str, Any]:
    """Return a point, the highest rung it has a score at, and that score."""
    scored = [rung for rung in range(len(search.rungs)) if candidate.scores.get(rung)]
    rung = max(scored, default=0)
    known = candidate.scores.get(rung, {})
    return {
        "number": candidate.number,
        "point": candidate.point,
        "by": candidate.by,
        "rung": rung,
        "share": search.rungs[rung].share,
        "seeds": len(known),
        "val_bpb": sum(known.values()) / len(known) if known else None,
        "ended": candidate.ended,
    }
