"""Public records against independently recomputed numbers; the set is not part of the project."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgolf.records.groups import record_groups
from pgolf.records.rows import RecordGroup
from pgolf.report.significance import assess_significance
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.records.conftest import RECORDS

RULES = load_ruleset("parameter_golf")
ROWS = [json.loads(line) for line in (RECORDS / "expected.jsonl").read_text().splitlines()] if RECORDS.is_dir() else []
# The folder has committed code and a size without code, but the expectation gives no recount.
WITHOUT_RECOUNT = {"861-11l-int5-ttt"}

GroupsOf = Callable[[str], list[RecordGroup]]


@pytest.fixture
def groups_of(public_record: Callable[[str], Path]) -> GroupsOf:
    return lambda name: record_groups(public_record(name), RULES)


@pytest.mark.parametrize("row", ROWS or [None], ids=lambda row: row["id"] if row else "none")
def test_every_number_is_that_of_the_logs(groups_of: GroupsOf, row: dict[str, Any]) -> None:
    groups = groups_of(row["dir"])
    found = groups[0].as_json()
    assert found["n"] == row["n"]
    assert found["metric"] == row["metric"]
    assert {str(seed["seed"]): seed["val_bpb"] for seed in found["seeds"]} == pytest.approx(row["values"], abs=1e-8)
    assert {str(seed["seed"]): seed["total_bytes"] for seed in found["seeds"]} == row["total_bytes"]
    assert found["mean"] == pytest.approx(row["mean"], abs=1e-8)
    for ours, theirs in (("std", "sample_sd"), ("population_std", "population_sd")):
        assert found[ours] == (None if row[theirs] is None else pytest.approx(row[theirs], abs=1e-8))
    assert found["max_total_bytes"] == row["max_total_bytes"]
    assert found["over_limit"] == row["over_cap"]
    recounted = found["recounted_bytes"]
    assert recounted["model_and_logged_code"] == row["model_plus_logged_code_max"]
    if row["dir"] not in WITHOUT_RECOUNT:
        assert recounted["model_and_train_gpt"] == row["model_plus_committed_train_gpt_max"]
        assert recounted["model_and_all_python"] == row["model_plus_all_committed_py_max"]
    for other in row.get("other_sets", []):
        if isinstance(other["metric"], str) and "same three runs" not in other["set"]:
            assert any(group.as_json()["mean"] == pytest.approx(other["mean"], abs=1e-8) for group in groups[1:])


@pytest.mark.parametrize("row", ROWS or [None], ids=lambda row: row["id"] if row else "none")
def test_every_problem_is_found(groups_of: GroupsOf, row: dict[str, Any]) -> None:
    named = {problem["rule"] for group in groups_of(row["dir"]) for problem in group.as_json()["problems"]}
    assert set(row["problems"]) <= named


def test_a_clean_record_has_no_problem(groups_of: GroupsOf) -> None:
    assert groups_of("549-leakyrelu-legal-ttt")[0].problems() == []


def test_significance_agrees_with_the_organisers_decisions(groups_of: GroupsOf) -> None:
    """#1514 replaced #1493 at p = 0.02, #1529 replaced #1514 at p = 0.001 (README of the contest)."""
    first, second, third = (
        groups_of(name)[0] for name in ("1493-sp8192-3layer-recur", "1514-muon097-ngram-tilt", "1529-improved-parresid")
    )
    for new, old, p, strict in ((second, first, 0.020, False), (third, second, 0.001, True)):
        found = assess_significance(new, old, RULES.significance)
        assert found["p_one_sided"] == pytest.approx(p, abs=6e-4)
        assert (found["practice"], found["strict"]) == (True, strict)
