"""The ledger: appending, reading, lines added by hand, and errors with line numbers."""

import subprocess
import sys
from pathlib import Path

import pytest

from pgolf.errors import UsageError
from pgolf.search.ledger import lock_search, read_ledger


def test_events_round_trip_together_with_lines_added_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "s" / "ledger.yaml"
    ledger = read_ledger(path)
    ledger.add("begun", spec="toy", spec_sha256="a")
    ledger.add("proposed", point={"recipe.a": 0.5, "recipe.b": {"kind": "ema", "decay": 0.9}}, by="optuna")
    ledger.add("started", number=1, rung=0, seed=3, run="x/seed-3")
    ledger.add("tried", number=1, rung=0, seed=3, run="x/seed-3", val_bpb=1.25, seconds=2.5, usd=0.5)
    with path.open("a") as file:
        file.write("# I believe in this one\n- {what: proposed, point: {recipe.a: 0.7}}\n")
    again = read_ledger(path)
    first, second = again.candidates()
    assert (first.scores, first.runs, first.by) == ({0: {3: 1.25}}, {0: "x/seed-3"}, "optuna")
    assert first.point["recipe.b"] == {"kind": "ema", "decay": 0.9}
    assert (second.number, second.point, second.by) == (2, {"recipe.a": 0.7}, "a person")
    assert [again.spent(unit) for unit in ("runs", "seconds", "usd")] == [1.0, 2.5, 0.5]
    again.add("refused", number=2, why="16,000,001 bytes")
    with path.open("a") as file:  # while a search is at work
        file.write("- {what: proposed, point: {recipe.a: 0.9}}\n")
    again.add("proposed", point={"recipe.a": 0.2}, by="optuna")
    assert [candidate.point["recipe.a"] for candidate in again.candidates()] == [0.5, 0.7, 0.9, 0.2]
    assert "# I believe in this one" in path.read_text()
    assert read_ledger(path).candidates()[1].ended == "refused: 16,000,001 bytes"


def test_reused_runs_cost_nothing(tmp_path: Path) -> None:
    ledger = read_ledger(tmp_path / "ledger.yaml")
    ledger.add("proposed", point={"recipe.a": 1})
    ledger.add("tried", number=1, rung=0, seed=3, run="x", val_bpb=1.0, is_reused=True)
    assert ledger.spent("runs") == 0.0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("- {what: tryed, number: 1}", "`what` is one of"),
        ("- {what: proposed}", "needs a point"),
        ("- {what: refused, number: 9, why: x}", "number 9 is not a point proposed above it"),
        ("- {what: refused, number: two, why: x}", "needs number, found 'two'"),
        ("- {what: tried, number: 1, rung: 0, seed: 1, run: x, val_bpb: low}", "needs val_bpb, found 'low'"),
        ("- {what: discarded, number: 1}", "needs why, found None"),
        ("- {what: proposed, point: {spend.usd: 1000}}", "spend.usd cannot be part of a point"),
        ("- just message", "not an event"),
    ],
)
def test_an_invalid_line_is_reported(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.yaml"
    path.write_text(f"- {{what: begun, spec: toy, spec_sha256: a}}\n{line}\n")
    with pytest.raises(UsageError, match=r"ledger\.yaml:2: ") as caught:
        read_ledger(path)
    assert message in str(caught.value)


def test_a_second_search_on_the_same_ledger_is_refused(tmp_path: Path) -> None:
    with lock_search(tmp_path, print):
        imports = "from pathlib import Path\nfrom pgolf.search.ledger import lock_search\n"
        program = f"{imports}with lock_search(Path({str(tmp_path)!r}), print): pass"
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "another search is running" in ended.stderr
    with lock_search(tmp_path, print):
        pass
