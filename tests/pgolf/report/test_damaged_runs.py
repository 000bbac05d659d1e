"""A damaged run is a row that names file and key, and the other runs are reported as if it were not there."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from pgolf.report.csv_table import csv_table
from pgolf.report.groups import group_runs
from pgolf.report.page.document import html_page
from pgolf.report.tables import markdown_table
from tests.pgolf.report.builders import result_of, write_metrics, write_run, write_seeds

WRONG_RESULTS: dict[str, tuple[dict[str, Any], str]] = {
    "text for a number": ({"headline": {"val_bpb": "abc"}}, "headline.val_bpb: expected a number, found 'abc'"),
    "a list for seconds": ({"clock": {"train_seconds": []}}, "clock.train_seconds: expected a number, found []"),
    "an object for bytes": ({"artifact": {"model_bytes": {"": ""}}}, "artifact.model_bytes: expected a whole number"),
    "a truth value for steps": ({"steps": True}, "steps: expected a whole number, found True"),
    "zero bits": ({"headline": {"val_bpb": 0}}, "headline.val_bpb: expected more than 0"),
    "bytes without end": ({"artifact": {"total_bytes": 10**30}}, "artifact.total_bytes: expected "),
    "another hash": ({"spec_sha256": [1, 2, 3]}, "spec_sha256: expected text, found [1, 2, 3]"),
    "no environment": ({"environment": 1e308}, "environment: expected an object, found 1e+308"),
    "a stage that was not scored": ({"headline": {"stage": "x"}}, "headline.stage: expected the stage of one of its"),
}


def merged(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {key: {**document[key], **value} for key, value in changes.items() if isinstance(value, dict)}
    return document | changes | both


@pytest.mark.parametrize(("changes", "reason"), WRONG_RESULTS.values(), ids=WRONG_RESULTS)
def test_a_damaged_result_is_named_in_every_format(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    good = write_seeds(tmp_path, {1: 1.2, 2: 1.3})
    bad = write_run(tmp_path / "exp-aaaaaaaa" / "seed-3", merged(result_of(3, 1.1), changes))
    (group,) = group_runs([*good, bad])
    assert [row.val_bpb for row in group.rows] == [1.2, 1.3]
    (found,) = group.as_json()["damaged"]
    assert (found["seed"], found["run_dir"]) == (3, str(bad.root))
    assert found["reason"].startswith(f"{bad.files.result}: {reason}")
    assert found["reason"] in markdown_table([group])
    assert f"{bad.files.result}: {reason.partition(':')[0]}" in html_page([group])
    *rows, last = csv.DictReader(io.StringIO(csv_table([group])))
    assert [row["val_bpb"] for row in rows] == ["1.2", "1.3"]
    assert (last["seed"], last["val_bpb"], last["problems"]) == ("3", "", f"damaged_run: {found['reason']}")


def test_a_run_that_says_nothing_about_itself_joins_its_neighbours_or_stands_alone(tmp_path: Path) -> None:
    good = write_seeds(tmp_path, {1: 1.2})
    beside, alone = (write_run(tmp_path / name / "seed-9", None) for name in ("exp-aaaaaaaa", "lost-12345678"))
    for run in (beside, alone):
        run.files.run.write_text("{")
    group, other = group_runs([*good, beside, alone])
    assert [each.run for each in group.damaged] == [beside]
    assert (other.name, other.rows, [each.run for each in other.damaged]) == ("lost-12345678", [], [alone])


def test_a_damaged_run_json_does_not_hide_a_result(tmp_path: Path) -> None:
    run = write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result_of(1, 1.2), usd_per_hour={})
    (group,) = group_runs([run])
    (found,) = group.damaged
    assert (group.name, group.rows) == ("exp", [])
    assert f"{run.files.run}: usd_per_hour: expected a number, found {{}}" in found.reason


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "metrics.jsonl",
            '{"step": 1, "elapsed_seconds": "1e3"}\n',
            ":1: elapsed_seconds: expected a number, found '1e3'",
        ),
        ("attempts.jsonl", '{"seconds": -1}\n', ":1: seconds: expected at least 0"),
        ("preflight.json", '{"checks": ["junk"]}', ": checks.0: expected an object, found 'junk'"),
        ("artifact/bytes.json", json.dumps({"groups": {"header": {}}}), ": groups.header: expected a whole number"),
    ],
)
def test_a_file_that_only_adds_to_the_result_costs_no_score(
    tmp_path: Path, name: str, content: str, reason: str
) -> None:
    run = write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result_of(1, 1.2))
    write_metrics(run, [(1, 3.0), (2, 2.5)])
    run.files.artifact.mkdir()
    (run.root / name).write_text(content)
    (group,) = group_runs([run])
    assert [row.val_bpb for row in group.rows] == [1.2]
    (message,) = [finding.message for finding in group.problems() if finding.rule == "damaged_file"]
    assert message.startswith(f"{run.root / name}{reason}")
    html_page([group])
