"""Grouping of runs, and the problems that a group reports."""

import json
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgolf.data.overlap import Overlap, keep_overlap
from pgolf.errors import UsageError
from pgolf.report.groups import RunGroup, group_runs, runs_below
from pgolf.rundir import RunDirectory
from tests.pgolf.report.builders import LIMIT, result_of, script_result_of, write_run, write_seeds


def groups_of(runs: Path) -> list[RunGroup]:
    return group_runs(runs_below([runs]))


def rules_of(group: RunGroup) -> list[str]:
    return [finding.rule for finding in group.problems()]


def mean_of(group: RunGroup) -> float:
    assert group.spread is not None
    return group.spread.mean


def test_seeds_of_one_experiment_are_one_group(tmp_path: Path) -> None:
    scores = {1337: 1.22, 42: 1.23, 2024: 1.25}
    write_seeds(tmp_path, scores)
    (group,) = groups_of(tmp_path)
    assert {row.run.seed: row.val_bpb for row in group.rows} == scores
    assert mean_of(group) == pytest.approx(np.mean([*scores.values()]))
    assert rules_of(group) == []


def test_a_group_says_what_it_asks_and_when_where_and_on_which_data_it_ran(tmp_path: Path) -> None:
    gpus = {"hardware": {"devices": ["NVIDIA H100 80GB HBM3"] * 8}, "environment": {"device": "cuda"}}
    first, second, third = (
        write_run(tmp_path / "exp-aaaaaaaa" / f"seed-{seed}", result_of(seed, 1.2, **changes))
        for seed, changes in ((1, gpus), (2, gpus), (3, {"hardware": {"devices": [], "cores": 2}}))
    )
    third.files.spec.write_text(json.dumps({"question": "Is it better?"}))
    for run, day in ((first, 20), (second, 19), (third, 20)):
        at = datetime(2026, 4, day, 12, tzinfo=UTC).timestamp()
        os.utime(run.files.result, (at, at))
    (group,) = groups_of(tmp_path)
    assert group.question == "Is it better?"
    assert group.dates == [date(2026, 4, 19), date(2026, 4, 20)]
    assert group.hardware == ["8x NVIDIA H100 80GB HBM3", "CPU, 2 cores"]
    assert group.data_sha256 == "d" * 64


@pytest.mark.parametrize("key", ["spec_sha256", "code_sha256", "data_sha256"])
def test_runs_with_different_spec_code_or_data_are_separate_groups(tmp_path: Path, key: str) -> None:
    write_seeds(tmp_path, {1: 1.2, 2: 1.3})
    write_run(tmp_path / "exp-bbbbbbbb" / "seed-3", result_of(3, 1.4, **{key: "f" * 64}))
    assert sorted([row.run.seed for row in group.rows] for group in groups_of(tmp_path)) == [[1, 2], [3]]


def test_the_newest_finished_attempt_counts_and_older_ones_are_noted(tmp_path: Path) -> None:
    write_seeds(tmp_path, {1: 1.2, 2: 1.3})
    for age, attempt in enumerate((1, 2, 10)):
        run = write_run(tmp_path / "exp-aaaaaaaa" / f"seed-1.{attempt}", result_of(1, 1 + attempt))
        os.utime(run.files.result, (9 - age, 9 - age))  # times that a copy of the folder may have
    (group,) = groups_of(tmp_path)
    assert {row.run.seed: row.val_bpb for row in group.rows} == {1: 11, 2: 1.3}
    messages = [finding.message for finding in group.problems() if finding.rule == "older_attempt"]
    assert [message.split(" ")[0] for message in messages] == [
        "exp-aaaaaaaa/seed-1",
        "exp-aaaaaaaa/seed-1.1",
        "exp-aaaaaaaa/seed-1.2",
    ]


def test_of_equal_attempts_in_two_runs_folders_the_one_that_was_created_later_counts(tmp_path: Path) -> None:
    for name, day in (("here", 2), ("there", 3), ("elsewhere", 1)):
        folder = tmp_path / name / "exp-aaaaaaaa" / "seed-1"
        write_run(folder, result_of(1, 1 + day), created=f"2026-11-0{day}T12:00:00.000000+00:00")
    (group,) = group_runs(runs_below([tmp_path / name for name in ("here", "there", "elsewhere")]))
    assert [row.val_bpb for row in group.rows] == [4]


def test_an_unfinished_attempt_is_noted_and_does_not_replace_a_finished_one(tmp_path: Path) -> None:
    write_seeds(tmp_path, {1: 1.2, 2: 1.3})
    write_run(tmp_path / "exp-aaaaaaaa" / "seed-1.1", None)
    stopped = write_run(tmp_path / "exp-aaaaaaaa" / "seed-3", None)
    stopped.files.state.write_text('{"phase": "train"}')
    (group,) = groups_of(tmp_path)
    assert {row.run.seed: row.val_bpb for row in group.rows} == {1: 1.2, 2: 1.3}
    messages = {finding.message for finding in group.problems() if finding.rule == "unfinished"}
    assert messages == {"exp-aaaaaaaa/seed-1.1 is prepared", "exp-aaaaaaaa/seed-3 is stopped"}


def artifact(total: int) -> dict[str, int]:
    return {"model_bytes": total - 7, "code_bytes": 7, "total_bytes": total, "limit_bytes": LIMIT}


@pytest.mark.parametrize(("total", "over"), [(LIMIT - 1, False), (LIMIT, False), (LIMIT + 1, True)])
def test_one_byte_more_than_the_limit_is_over_the_limit(tmp_path: Path, total: int, over: bool) -> None:
    write_seeds(tmp_path, {1: 1.2})
    write_run(tmp_path / "exp-aaaaaaaa" / "seed-2", result_of(2, 1.3, artifact=artifact(total)))
    (group,) = groups_of(tmp_path)
    assert group.is_over_limit is over
    assert ("over_cap" in rules_of(group)) is over
    assert group.max_total_bytes == total
    found = [[finding.message for finding in row.problems()] for row in group.rows]
    assert found == [[], ["1 bytes over the limit"] if over else []]


@pytest.mark.parametrize(("calibrate", "late"), [(17.0, False), (19.5, True)])
def test_calibration_counts_as_training_if_the_budget_is_in_seconds(
    tmp_path: Path, calibrate: float, late: bool
) -> None:
    clock = {"train_seconds": 582.0, "calibrate_seconds": calibrate, "evaluate_seconds": 90.0}
    run = write_run(tmp_path / "exp-aaaaaaaa" / "seed-2", result_of(2, 1.3, clock=clock))
    for kind, expected in (("seconds", late), ("tokens", False)):
        run.files.spec.write_text(json.dumps({"recipe": {"budget": {"clock": kind, "train": 600.0}}}))
        (group,) = groups_of(tmp_path)
        assert ([f.rule for f in group.rows[0].problems()] == ["train_over_time"]) is expected


def test_seeds_over_the_limit_stay_in_the_mean(tmp_path: Path) -> None:
    write_seeds(tmp_path, {1: 1.0, 2: 2.0}, artifact=artifact(LIMIT + 5))
    (group,) = groups_of(tmp_path)
    assert (len(group.rows), mean_of(group)) == (2, 1.5)
    assert [f.message for f in group.problems()] == ["seeds [1, 2] are over the limit"]


def test_a_single_seed_is_a_problem_and_has_no_spread(tmp_path: Path) -> None:
    write_seeds(tmp_path, {1: 1.2})
    (group,) = groups_of(tmp_path)
    assert rules_of(group) == ["single_seed"]
    assert (group.as_json()["std"], group.as_json()["ci95"]) == (None, None)


@pytest.mark.parametrize(
    ("bpb", "steps", "learned"),
    [(2.3, 101, True), (2.45, 101, False), (2.6, 101, False), (2.6, 0, False), (2.6, 1, True), (2.6, 100, True)],
)
def test_a_score_near_the_order2_model_is_reported_as_not_learned_except_of_a_smoke_test(
    tmp_path: Path, bpb: float, steps: int, learned: bool
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "references.json").write_text('{"order2_bpb": 2.5, "brotli_bpb": 2.0}')
    write_run(tmp_path / "runs" / "exp-aaaaaaaa" / "seed-1", result_of(1, bpb, steps=steps), data_folder=str(data))
    (group,) = groups_of(tmp_path / "runs")
    assert ("not_learned" in rules_of(group)) is not learned


@pytest.mark.parametrize(
    ("overlapping", "data_sha256", "problems"),
    [(0, "d" * 64, []), (1, "d" * 64, ["overlap"]), (1, "e" * 64, [])],
    ids=["none", "of this data", "of other data"],
)
def test_an_overlap_that_was_measured_of_the_runs_data_is_a_problem_of_its_mean(
    tmp_path: Path, overlapping: int, data_sha256: str, problems: list[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    found = Overlap(data_sha256=data_sha256, documents=9, overlapping=overlapping, spans=90, found=9, named=[])
    keep_overlap(data, found)
    for seed in (1, 2):
        about = {"data_folder": str(data), "data_sha256": "d" * 64}
        write_run(tmp_path / "runs" / "exp-aaaaaaaa" / f"seed-{seed}", result_of(seed, 1.0 + seed), **about)
    (group,) = groups_of(tmp_path / "runs")
    assert rules_of(group) == problems
    expected = [found.finding(data).message for _ in problems]
    assert [problem["message"] for problem in group.as_json()["problems"]] == expected


def test_the_verdict_of_the_runs_preflight_stands_where_the_measurement_is_gone(tmp_path: Path) -> None:
    about = {"data_folder": "/nowhere", "data_sha256": "d" * 64}
    run = write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result_of(1, 1.0), **about)
    check = {"rule": "overlap", "status": "warn", "message": "1 of 34 documents", "fix": None}
    run.preflight.write_text(json.dumps({"checks": [check]}))
    (group,) = groups_of(tmp_path)
    assert [finding.message for finding in group.problems() if finding.rule == "overlap"] == ["1 of 34 documents"]


CONTRACT = {
    "name", "source", "seeds", "n", "mean", "std", "ci95", "max_total_bytes", "over_limit", "problems", "versus",
}  # fmt: skip
PLACES = {"run_id", "run_dir", "log"}
SEED_CONTRACT = {
    *PLACES, "seed", "val_bpb", "val_loss", "stage", "protocol", "steps", "train_seconds", "evaluate_seconds",
    "model_bytes", "code_bytes", "total_bytes", "usd", "problems",
}  # fmt: skip


def test_json_has_the_public_keys_and_the_numbers_of_the_results(tmp_path: Path) -> None:
    scores = {1: 1.21, 2: 1.26}
    write_seeds(tmp_path, scores)
    (group,) = groups_of(tmp_path)
    document: dict[str, Any] = json.loads(json.dumps(group.as_json()))
    assert set(document) >= CONTRACT
    assert (document["source"], document["n"], document["over_limit"]) == ("run", 2, False)
    assert document["std"] == pytest.approx(np.std([1.21, 1.26], ddof=1))
    for seed, row in zip(scores, document["seeds"], strict=True):
        result = result_of(seed, scores[seed])
        assert set(row) == SEED_CONTRACT
        expected = result["headline"] | result["artifact"] | result["clock"] | {"seed": seed, "steps": result["steps"]}
        assert {key: row[key] for key in SEED_CONTRACT - PLACES - {"problems", "usd"}} == {
            key: expected[key] for key in SEED_CONTRACT - PLACES - {"problems", "usd"}
        }


def test_a_run_costs_what_all_of_its_attempts_took(tmp_path: Path) -> None:
    """At $36 an hour: 600 s and 900 s of attempts are $15, the 671.75 s of its phases $6.7175."""
    clock = {"train_seconds": 581.25, "evaluate_seconds": 90.5}
    for seed, attempts in ((1, [600.0, 900.0]), (2, [])):
        run = write_run(tmp_path / "exp-aaaaaaaa" / f"seed-{seed}", result_of(seed, 1.2, clock=clock), usd_per_hour=36)
        run.files.attempts.write_text("".join(f'{{"seconds": {seconds}}}\n' for seconds in attempts))
    (group,) = groups_of(tmp_path)
    assert [row.usd for row in group.rows] == pytest.approx([15.0, 6.7175])
    assert group.usd == pytest.approx(21.7175)


@pytest.mark.parametrize("below", ["", "exp-aaaaaaaa", "exp-aaaaaaaa/seed-1"])
def test_a_path_can_be_a_run_a_group_or_a_runs_folder(tmp_path: Path, below: str) -> None:
    write_seeds(tmp_path, {1: 1.2, 2: 1.3})
    found = [run.seed for run in runs_below([tmp_path / below])]
    assert found == ([1] if below.endswith("seed-1") else [1, 2])


def test_a_run_given_twice_counts_once(tmp_path: Path) -> None:
    write_seeds(tmp_path, {1: 1.2, 2: 1.3})
    folder = tmp_path / "exp-aaaaaaaa"
    found = runs_below([tmp_path, folder, folder / "seed-1", folder / ".." / "exp-aaaaaaaa"])
    assert [run.seed for run in found] == [1, 2]


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        runs_below([tmp_path / "gone"])


def test_an_empty_folder_has_no_groups(tmp_path: Path) -> None:
    assert groups_of(tmp_path) == []


def test_a_half_written_run_file_does_not_stop_the_report(tmp_path: Path) -> None:
    write_seeds(tmp_path, {1: 1.2, 2: 1.3})
    half = write_run(tmp_path / "exp-aaaaaaaa" / "seed-3", None)
    half.files.run.write_text('{"name": "ex')
    assert [row.run.seed for group in groups_of(tmp_path) for row in group.rows] == [1, 2]


def test_a_half_written_result_does_not_stop_the_report(tmp_path: Path) -> None:
    write_seeds(tmp_path, {1: 1.2, 2: 1.3})
    half = write_run(tmp_path / "exp-aaaaaaaa" / "seed-3", None)
    half.files.result.write_text('{"name": "ex')
    assert [row.run.seed for group in groups_of(tmp_path) for row in group.rows] == [1, 2]


def test_a_copy_under_another_name_is_ignored(tmp_path: Path) -> None:
    write_seeds(tmp_path, {1: 1.2, 2: 1.3})
    write_run(tmp_path / "exp-aaaaaaaa" / "seed-1-backup", result_of(1, 9.9))
    assert [row.val_bpb for group in groups_of(tmp_path) for row in group.rows] == [1.2, 1.3]


def test_an_experiment_without_a_finished_run_is_noted(tmp_path: Path) -> None:
    write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", None)
    assert any("seed-1 is prepared" in finding.message for group in groups_of(tmp_path) for finding in group.problems())


def test_a_real_run_reports_its_own_result(micro_run: RunDirectory) -> None:
    (group,) = group_runs([micro_run])
    result = micro_run.read_result()
    (row,) = group.as_json()["seeds"]
    assert row["val_bpb"] == result["headline"]["val_bpb"]
    assert row["total_bytes"] == result["artifact"]["model_bytes"] + result["artifact"]["code_bytes"]


def test_how_a_script_ended_and_where_its_loss_was_no_number_are_problems(tmp_path: Path) -> None:
    steps = {"first": 120, "last": 200, "count": 5, "is_at_end": True}
    result = script_result_of(1, 1.2, ended="stopped after its result", not_finite=steps)
    write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result)
    (group,) = groups_of(tmp_path)
    assert {(found.severity, found.rule, found.message) for found in group.rows[0].problems()} == {
        ("warn", "ended", "how the script ended: stopped after its result; its result counts"),
        ("fail", "loss_not_finite", "the loss is not a number from step 120 on"),
    }
