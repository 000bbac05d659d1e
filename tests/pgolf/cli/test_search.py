"""`pgolf search` as a command: budgets, continuation, points added by hand, and proposing commands."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Pgolf
from tests.scripts.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    workshop = Workshop(tmp_path / "own")
    workshop.document["program"]["env"]["ITERATIONS"] = 40
    workshop.document["search"] = {
        "length": "program.env.ITERATIONS",
        "values": {"program.env.MATRIX_LR": {"low": 0.05, "high": 0.8, "log": True}},
    }
    return workshop


def ledger_of(workshop: Workshop) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = yaml.safe_load((workshop.folder / "runs" / "toy.search" / "ledger.yaml").read_text())
    return events


def test_a_search_spends_its_budget_and_continues_from_its_ledger(workshop: Workshop) -> None:
    ended = workshop("search", "spec.yaml", "--budget-runs", "7", "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["spent"]["runs"], ended.json["ended"]) == (7, "the rest of the budget suffices for no run")
    events = ledger_of(workshop)
    tried = [event for event in events if event["what"] == "tried"]
    by_score = sorted(event["val_bpb"] for event in tried if event["rung"] == 0)
    assert any(event["what"] == "kept" for event in events)
    first = [each for each in ended.json["candidates"] if each["rung"] > 0]
    assert ended.json["best"]["number"] == first[0]["number"]
    best_run = next(event for event in tried if event["number"] == ended.json["best"]["number"] and event["rung"] == 0)
    assert best_run["val_bpb"] in by_score[: 1 + len(by_score) // 3]
    assert {"discarded", "begun", "proposed", "started", "tried", "kept"} == {event["what"] for event in events}
    again = workshop("search", "spec.yaml", "--budget-runs", "8", "--json")
    assert again.json["spent"]["runs"] == 8
    assert ledger_of(workshop)[: len(events)] == events


def test_a_killed_search_repeats_no_run(workshop: Workshop) -> None:
    workshop("preflight", "spec.yaml")
    command = [sys.executable, "-m", "pgolf", "search", "spec.yaml", "--budget-runs", "5"]
    began = subprocess.Popen(command, cwd=workshop.folder, stderr=subprocess.DEVNULL, start_new_session=True)
    ledger = workshop.folder / "runs" / "toy.search" / "ledger.yaml"
    deadline = time.monotonic() + 60
    while not ledger.exists() or "tried" not in ledger.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(began.pid, signal.SIGKILL)
    began.wait()
    before = ledger_of(workshop)
    ended = workshop("search", "spec.yaml", "--budget-runs", "5", "--json")
    assert ended.code == 0, ended.err
    events = ledger_of(workshop)
    assert events[: len(before)] == before
    runs = [event["run"] for event in events if event["what"] in ("tried", "stopped") and not event.get("is_reused")]
    assert len(runs) == len(set(runs)) == 5


def test_refused_points_cost_nothing_and_points_added_by_hand_run_first(workshop: Workshop) -> None:
    large = workshop.write_large_code()
    folder = workshop.folder / "runs" / "toy.search"
    folder.mkdir(parents=True)
    (folder / "ledger.yaml").write_text(
        f"- {{what: proposed, point: {{program.files: [toy_learner.py, {', '.join(large)}]}}}}\n"
        "- {what: proposed, point: {program.env.MATRIX_LR: 0.123}, by: me}\n"
    )
    ended = workshop("search", "spec.yaml", "--budget-runs", "1", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["spent"]["runs"] == 1
    assert ended.json["best"]["point"] == {"program.env.MATRIX_LR": 0.123}
    (refused,) = [event for event in ledger_of(workshop) if event["what"] == "refused"]
    assert (refused["number"], "artifact_size" in refused["why"]) == (1, True)


def test_a_command_proposes_instead_of_the_optimizer(workshop: Workshop) -> None:
    (workshop.folder / "propose.py").write_text(
        "import json, sys\nled = json.load(sys.stdin)['ledger']\n"
        "n = sum(event['what'] == 'proposed' for event in led)\n"
        "print(['spend: {usd: 1000}', 'program.env: {MATRIX_LR: 0.2}', 'program.env.MATRIX_LR: 0.3'][min(n, 2)])\n"
    )
    workshop.document["search"]["values"] = {"program.env.MATRIX_LR": {"low": 0.05, "high": 0.8}}
    ended = workshop("search", "spec.yaml", "--budget-runs", "2", "--propose", f"{sys.executable} propose.py", "--json")
    said = " ".join(ended.err.split())
    assert (ended.code, ended.out) == (2, "")
    assert "spend.usd may not be proposed" in said
    assert "the search of toy ended without a run: 50 proposals in a row were known already" in said


def test_a_range_of_fractions_for_whole_numbers_ends_the_search_at_once(pgolf: Pgolf, tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text(
        "extends: quickstart\nname: wide\nsearch:\n  values: {recipe.model.width: {low: 32, high: 64}}\n"
    )
    ended = pgolf("search", "wide.yaml", "--with", "micro", "--budget-runs", "2")
    assert ended.code == 2
    assert "recipe.model.width takes whole numbers; add `whole: true` to its range" in " ".join(ended.err.split())
    assert not (tmp_path / "runs/wide.search/ledger.yaml").exists()


def test_a_budget_that_suffices_for_no_run_is_refused(pgolf: Pgolf, tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text(
        "extends: quickstart\nname: long\nsearch:\n  values: {recipe.optimizer.matrix_lr: {low: 0.01, high: 0.1}}\n"
    )
    ended = pgolf("search", "long.yaml", "--budget-seconds", "1")
    assert ended.code == 2
    said = " ".join(ended.err.split())
    assert "the search of long ended without a run: the rest of the budget suffices for no run" in said


@pytest.mark.slow
def test_a_small_space_is_tried_completely_and_ends_the_search(workshop: Workshop) -> None:
    rates = [0.1, 0.2, 0.3, 0.4]
    workshop.document["search"] |= {"values": {"program.env.MATRIX_LR": rates}, "rungs": [{"share": 1.0}]}
    ended = workshop("search", "spec.yaml", "--budget-runs", "9", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["ended"] == "every point of the space has been tried"
    assert sorted(each["point"]["program.env.MATRIX_LR"] for each in ended.json["candidates"]) == rates
    assert all(each["val_bpb"] is not None for each in ended.json["candidates"])
    workshop.document["search"]["rungs"] = [{"share": 0.5}, {"share": 1.0}]
    again = workshop("search", "spec.yaml", "--budget-runs", "9")
    assert (again.code, "begun with other rungs" in " ".join(again.err.split())) == (2, True)


def test_a_point_that_falls_behind_is_stopped_early(workshop: Workshop) -> None:
    workshop.document["search"] |= {"stop_worse_by": 0.3, "rungs": [{"share": 1.0}]}
    folder = workshop.folder / "runs" / "toy.search"
    folder.mkdir(parents=True)
    (folder / "ledger.yaml").write_text(
        "- {what: proposed, point: {program.env.MATRIX_LR: 0.2}}\n"
        "- {what: proposed, point: {program.env.MATRIX_LR: 3.0}}\n"
    )
    ended = workshop("search", "spec.yaml", "--budget-runs", "2", "--json")
    assert ended.code == 0, ended.err
    (stopped,) = [event for event in ledger_of(workshop) if event["what"] == "stopped"]
    assert (stopped["number"], "stop.worse_than" in stopped["why"]) == (2, True)
    metrics = (workshop.folder / "runs" / stopped["run"] / "metrics.jsonl").read_text().splitlines()
    assert json.loads(metrics[-1])["step"] < 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of --budget-usd, --budget-seconds and --budget-runs"),
        (["--budget-runs", "3", "--budget-usd", "2"], "one of --budget-usd"),
        (["--budget-usd", "2"], "local has no price;"),
        (["--budget-runs", "3", "--set", "seeds=[1]"], "more seeds than the spec's"),
        (["--budget-runs", "3", "--propose", ""], "expected a command"),
    ],
)
def test_an_impossible_search_is_refused_before_anything_runs(
    arguments: list[str], message: str, workshop: Workshop
) -> None:
    ended = workshop("search", "spec.yaml", *arguments)
    assert ended.code == 2, ended.err
    assert message in " ".join(ended.err.split())
    assert not [*workshop.folder.glob("runs/*/seed-*")]


def test_a_ledger_of_another_spec_is_refused_and_unchanged(workshop: Workshop) -> None:
    workshop("search", "spec.yaml", "--budget-runs", "1")
    before = ledger_of(workshop)
    workshop.document["program"]["env"]["ITERATIONS"] = 50
    ended = workshop("search", "spec.yaml", "--budget-runs", "2")
    assert ended.code == 2
    assert "belongs to spec" in ended.err
    assert ledger_of(workshop) == before


def test_a_spec_without_a_search_space_is_refused(workshop: Workshop) -> None:
    del workshop.document["search"]
    ended = workshop("search", "spec.yaml", "--budget-runs", "1")
    assert ended.code == 2
    assert "no `search:`" in ended.err


@pytest.mark.parametrize("proposer", [pytest.param("optimizer", marks=pytest.mark.slow), "command"])
def test_a_search_stops_at_the_first_refusal_that_all_points_share(proposer: str, workshop: Workshop) -> None:
    (workshop.folder / "propose.py").write_text(
        "import json, sys\nprint('program.env.MATRIX_LR:', 0.1 + len(json.load(sys.stdin)['ledger']) / 100)"
    )
    words = [] if proposer == "optimizer" else ["--propose", f"{sys.executable} propose.py"]
    ended = workshop("search", "spec.yaml", "--budget-runs", "4", "--set", "launch.gpu=H100:1", *words)
    said = " ".join(ended.err.split())
    assert ended.code == 2, said
    assert "every point of the search of toy would be refused: device: H100:1 was requested" in said
    assert not (workshop.folder / "runs" / "toy.search" / "ledger.yaml").exists()
    begun = workshop("search", "spec.yaml", "--budget-runs", "1", *words)
    assert begun.code == 0, begun.err
    before = ledger_of(workshop)
    again = workshop("search", "spec.yaml", "--budget-runs", "4", "--set", "launch.gpu=H100:1", *words)
    assert (again.code, "refused: device" in " ".join(again.err.split())) == (2, True), again.err
    assert not [event for event in ledger_of(workshop)[len(before) :] if event["what"] == "refused"]


@pytest.mark.slow
def test_a_refusal_by_the_space_itself_names_its_cause(workshop: Workshop) -> None:
    """A misspelled variable, code that is over the limit, a length that is no number: each refuses every value."""
    large = workshop.write_large_code()
    values = {"low": 0.05, "high": 0.8}
    cases: list[tuple[dict[str, Any], list[str], str]] = [
        ({"values": {"program.env.MATRX_LR": values}}, [], "MATRX_LR"),
        ({}, ["--set", f"program.files=[toy_learner.py, {', '.join(large)}]"], "artifact_size: code 17,0"),
        ({"length": "program.path"}, [], "search.length: program.path is"),
    ]
    own = dict(workshop.document["search"])
    for changes, words, message in cases:
        workshop.document["search"] = own | changes
        ended = workshop("search", "spec.yaml", "--budget-runs", "2", *words)
        said = " ".join(ended.err.split())
        assert (ended.code, "every point of the search of toy would be refused" in said) == (2, True), said
        assert message in said
        assert not [*workshop.folder.glob("runs/*/seed-*")]
