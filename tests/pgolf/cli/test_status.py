"""`pgolf status`: unusual files of runs, and the remaining time."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pgolf.campaign.status import remaining_seconds
from pgolf.cli.status import describe_progress
from tests.conftest import Pgolf
from tests.pgolf.documents import run_json
from trainer.recipe.writing import write_json

GLOO = "[/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [enforce fail]"


def write_failed_run(folder: Path, error: str) -> None:
    root = folder / "runs" / "x-12345678" / "seed-1"
    root.mkdir(parents=True)
    write_json(root / "run.json", run_json())
    write_json(root / "spec.json", {})
    write_json(root / "state.json", {"phase": "failed", "error": error})


def test_an_error_with_brackets_is_shown_unchanged(pgolf: Pgolf, tmp_path: Path) -> None:
    write_failed_run(tmp_path, GLOO)
    ended = pgolf("status")
    assert ended.code == 0, ended.err
    words = "".join(ended.out.split())
    assert "[/__w/pytorch/pytorch" in words
    assert "[enforcefail]" in words


def test_watch_without_a_terminal_prints_one_table_after_another(tmp_path: Path) -> None:
    write_failed_run(tmp_path, "it broke")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "pgolf", "status", "--watch"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as watching:
        time.sleep(4)
        watching.terminate()
        out, _ = watching.communicate()
    assert out.count("it broke") >= 2


def test_watch_and_json_together_are_refused(pgolf: Pgolf) -> None:
    assert pgolf("status", "--watch", "--json").code == 2


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"phase": "train", "step": 10, "total": 30, "step_seconds": 2.0}, 40.0),
        ({"phase": "train", "step": 10, "total": None, "progress": 0.2, "elapsed_seconds": 5.0}, 20.0),
        ({"phase": "evaluate", "scored": 100, "total": 400, "stage_seconds": 3.0}, 9.0),
        ({"phase": "evaluate", "scored": 0, "total": 400}, None),
        ({"phase": "train", "step": 0, "total": 30}, None),
        ({"phase": "encode"}, None),
        ({}, None),
    ],
)
def test_remaining_seconds(reported: dict[str, object], expected: float | None) -> None:
    assert remaining_seconds(reported) == expected


@pytest.mark.parametrize(("phase", "expected"), [("train", "30/400"), ("evaluate", "100/400")])
def test_progress_is_steps_or_scored_tokens(phase: str, expected: str) -> None:
    assert describe_progress({"phase": phase, "step": 30, "scored": 100, "total": 400}) == expected
    assert describe_progress({"phase": phase, "step": None, "scored": None, "total": None}) == ""
