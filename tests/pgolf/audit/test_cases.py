"""Labelled cases: the confusion table, on a few made up ones and on the public ones where they are at hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pgolf.audit.cases import confusion, false_alarms, from_code, from_numbers, read_cases
from pgolf.errors import UsageError
from pgolf.rulesets.ruleset import load_ruleset
from tests.conftest import Ended
from tests.pgolf.audit.code.scripts import GUILTY, INNOCENT

RULES = load_ruleset("parameter_golf")
CASES = Path(__file__).parents[4] / "shared" / "records" / "legality_cases.jsonl"


@pytest.fixture
def cases() -> Path:
    if not CASES.is_file():
        pytest.skip(f"shared development cases are not at {CASES}")
    return CASES


def test_numbers_call_nobody_guilty_whom_reviewers_acquitted_of_it(cases: Path) -> None:
    table = confusion(from_numbers(read_cases(cases), RULES))
    assert sum(row.innocent["fail"] for row in table.values()) == 0


def test_numbers_find_what_numbers_can_show(cases: Path) -> None:
    table = confusion(from_numbers(read_cases(cases), RULES))
    for rule in ("SIZE-CAP", "SIZE-UNITS", "TRAIN-600", "BYTE-TOKENS", "VAL-IS-CANONICAL"):
        assert table[rule].guilty["fail"] == sum(table[rule].guilty.values()) > 0
    assert table["SPACE-ONCE"].guilty["fail"] == 3
    assert table["SPACE-ONCE"].guilty["pass"] == 0


def test_rules_about_code_stay_unknown_in_numbers(cases: Path) -> None:
    table = confusion(from_numbers(read_cases(cases), RULES))
    for rule in ("C3-SCORE-FIRST", "C4-SINGLE-PASS", "NO-PREQUANT-TTT", "NGRAM-TARGET-GATE"):
        assert {*table[rule].guilty, *table[rule].innocent} == {"unknown"}


def test_the_one_false_alarm_is_a_row_that_was_late(cases: Path) -> None:
    found = false_alarms(from_numbers(read_cases(cases), RULES))
    assert [(case, verdict.rule) for case, verdict in found] == [("1120", "TRAIN-600")]


def test_code_is_compared_with_rulings_where_it_is_there(tmp_path: Path) -> None:
    lines = []
    for number, (rule, text) in enumerate([GUILTY["epochs before packing"], INNOCENT["score first"]]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "train_gpt.py").write_text(text)
        verdict = "legal" if number else "illegal"
        lines.append(json.dumps({"pr": number, "rule": rule, "verdict": verdict}))
    lines.append(json.dumps({"pr": 99, "rule": "SLOT", "verdict": "illegal"}))
    (tmp_path / "cases.jsonl").write_text("\n".join(lines))
    table = confusion(from_code(read_cases(tmp_path / "cases.jsonl"), tmp_path))
    assert set(table) == {"NO-PREQUANT-TTT", "C3-SCORE-FIRST"}
    assert table["NO-PREQUANT-TTT"].guilty["warn"] == 1
    assert table["C3-SCORE-FIRST"].innocent["pass"] == 1


def test_the_command_prints_both_parts(pgolf: Callable[..., Ended], tmp_path: Path) -> None:
    case = {
        "pr": 7,
        "rule": "TRAIN-600",
        "verdict": "over_time",
        "metadata": {},
        "runs": [{"log": "a", "train_time_s": 650}],
    }
    (tmp_path / "cases.jsonl").write_text(json.dumps(case))
    ended = pgolf("audit", "--cases", "cases.jsonl", "--json")
    assert ended.code == 0
    ended = pgolf("audit", "--cases", "cases.jsonl")
    assert "from metadata" in ended.err
    assert "from code: 0 of 1 cases" in ended.err


def test_a_line_that_is_no_case_is_named(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text('{"pr": 1, "rule": "SLOT", "verdict": "legal"}\n{"pr": 2}\n')
    with pytest.raises(UsageError, match=r"cases\.jsonl:2"):
        read_cases(tmp_path / "cases.jsonl")


def test_what_cannot_be_audited_is_named_before_anything_runs(pgolf: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        (["audit"], "nothing to audit"),
        (["audit", "empty"], "neither claims, logs nor code"),
        (["audit", "quikstart"], "did you mean `quickstart`?"),
        (["audit", "empty", "--adapter", "nope.py"], "--adapter takes a Python file"),
        (["audit", "--cases", "nope.jsonl"], "No such file"),
        (["report", "--leaderboard", "nope"], "no such folder"),
    ):
        ended = pgolf(*arguments)
        assert ended.code == 2, arguments
        assert words in " ".join(ended.err.split())
