"""The confusion table, on made-up cases and on the public cases where they are at hand."""

import json
from pathlib import Path

import pytest

from benchmarks.audit_cases import (
    count_confusion,
    facts_of_case,
    false_alarms,
    main,
    read_cases,
    verdicts_from_code,
    verdicts_from_numbers,
)
from pgolf.audit.folder import number_verdicts
from pgolf.errors import UsageError
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.audit.code.scripts import LOOKALIKES, VIOLATIONS

RULES = load_ruleset("parameter_golf")
CASES = Path(__file__).parents[3] / "shared" / "records" / "legality_cases.jsonl"


@pytest.fixture
def cases() -> Path:
    if not CASES.is_file():
        pytest.skip(f"shared development cases are not at {CASES}")
    return CASES


def test_numbers_fail_no_rule_that_reviewers_found_kept(cases: Path) -> None:
    table = count_confusion(verdicts_from_numbers(read_cases(cases), RULES))
    assert sum(row.legal["fail"] for row in table.values()) == 0


def test_numbers_find_every_violation_that_numbers_can_show(cases: Path) -> None:
    table = count_confusion(verdicts_from_numbers(read_cases(cases), RULES))
    for rule in ("SIZE-CAP", "SIZE-UNITS", "TRAIN-600", "BYTE-TOKENS", "VAL-IS-CANONICAL"):
        assert table[rule].violation["fail"] == sum(table[rule].violation.values()) > 0
    assert table["SPACE-ONCE"].violation["fail"] == 3
    assert table["SPACE-ONCE"].violation["pass"] == 0


def test_rules_about_code_are_unknown_from_numbers(cases: Path) -> None:
    table = count_confusion(verdicts_from_numbers(read_cases(cases), RULES))
    for rule in ("C3-SCORE-FIRST", "C4-SINGLE-PASS", "NO-PREQUANT-TTT", "NGRAM-TARGET-GATE"):
        assert {*table[rule].violation, *table[rule].legal} == {"unknown"}


def test_there_is_no_false_alarm_on_an_accepted_submission(cases: Path) -> None:
    assert false_alarms(verdicts_from_numbers(read_cases(cases), RULES)) == []


def test_code_is_compared_with_rulings(tmp_path: Path) -> None:
    lines = []
    for number, (rule, text) in enumerate([VIOLATIONS["epochs before packing"], LOOKALIKES["score first"]]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "train_gpt.py").write_text(text)
        verdict = "legal" if number else "illegal"
        lines.append(json.dumps({"pr": number, "rule": rule, "verdict": verdict}))
    lines.append(json.dumps({"pr": 99, "rule": "SLOT", "verdict": "illegal"}))
    (tmp_path / "cases.jsonl").write_text("\n".join(lines))
    table = count_confusion(verdicts_from_code(read_cases(tmp_path / "cases.jsonl"), tmp_path))
    assert set(table) == {"NO-PREQUANT-TTT", "C3-SCORE-FIRST"}
    assert table["NO-PREQUANT-TTT"].violation["warn"] == 1
    assert table["C3-SCORE-FIRST"].legal["pass"] == 1


def test_the_command_prints_both_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = {
        "pr": 7,
        "rule": "TRAIN-600",
        "verdict": "over_time",
        "metadata": {},
        "runs": [{"log": "a", "train_time_s": 650}],
    }
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(case))
    main([str(path), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["cases"] == 1
    assert found["metadata"]["TRAIN-600"]["violation"]["fail"] == 1
    main([str(path)])
    printed = capsys.readouterr().out
    assert "from metadata: 1 of 1 cases" in printed
    assert "from code: 0 of 1 cases" in printed


def test_a_line_that_is_not_a_case_is_named(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text('{"pr": 1, "rule": "SLOT", "verdict": "legal"}\n{"pr": 2}\n')
    with pytest.raises(UsageError, match=r"cases\.jsonl:2"):
        read_cases(tmp_path / "cases.jsonl")


def test_a_case_without_metadata_is_accepted() -> None:
    assert number_verdicts(facts_of_case({"pr": 1, "verdict": "legal", "rule": "SLOT"}), RULES)
