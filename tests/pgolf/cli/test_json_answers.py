"""Every command's --json prints one object on stdout, and the object has its version."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from scipy import stats

from pgolf.cli.app import app
from pgolf.cli.commands import COMMANDS, load_command
from pgolf.cli.display.console import SCHEMA_VERSION
from pgolf.cli.display.search import row
from pgolf.rundir import RunDirectory
from pgolf.search.halving import standing_of
from pgolf.search.ledger import Candidate
from pgolf.specs.search import Search
from pgolf.specs.sweeps import Range
from tests.conftest import Pgolf, run_here
from tests.pgolf.data.builders import sentences
from tests.pgolf.data.hub_server import serving
from tests.pgolf.data.published import VARIANT, Published
from tests.pgolf.report.builders import result_of, write_points, write_run, write_seeds

MICRO = ("quickstart", "--with", "micro")
SEARCH = """
extends: quickstart
name: small-search
search: {values: {recipe.optimizer.matrix_lr: {low: 0.01, high: 0.1}}}
"""
DESCRIPTION = {"model_params": 35944536, "compressor": "brotli", "config": {"num_layers": 11, "model_dim": 512}}
# At least one call of each command, in a folder that has what they name, with the exit code.
CALLS: dict[str, list[tuple[int, tuple[str, ...]]]] = {
    "run": [(0, MICRO), (0, (*MICRO, "--dry-run"))],
    "seeds": [(0, (*MICRO, "--n", "1")), (0, (*MICRO, "--dry-run"))],
    "preflight": [
        (0, MICRO),
        (0, (*MICRO, "--growth", "--set", "recipe.optimizer.matrix_lr=0.02,0.03")),
        (3, (*MICRO, "--set", "launch.processes=3")),
        (0, ("--describe", "described.json")),
    ],
    "fit": [(0, MICRO)],
    "bundle": [(0, MICRO)],
    "verify": [(3, ("claimless",))],
    "audit": [(0, ("quickstart",))],
    "search": [(0, ("search.yaml", "--with", "micro", "--budget-runs", "1"))],
    "report": [
        (0, ()),
        (0, ("made", "--baseline", "made/exp-aaaaaaaa")),
        (0, ("--runs-dir", "nowhere")),
        (0, ("--leaderboard", ".")),
        (0, ("--format", "json")),
    ],
    "import": [(0, ("train_gpt.py",)), (0, ("train_gpt.py", "--as", "script", "--out", "script.yaml"))],
    "compare": [(0, ("exp", "other", "--curves", "--runs-dir", "made"))],
    "status": [(0, ()), (0, ("--runs-dir", "nowhere"))],
    "launchers": [(0, ())],
    "doctor": [(0, ())],
    "spec show": [(0, ("quickstart",)), (0, ("quickstart", "--plan"))],
    "spec diff": [(0, ("quickstart", "baseline"))],
    "spec list": [(0, ())],
    "data prepare": [(0, ("text.jsonl", "--out", "shards", "--vocab", "300"))],
    "data fetch": [(0, (VARIANT, "--from", "someone/data", "--train-shards", "1"))],
    "data list": [(0, ())],
    "data verify": [(0, ("published",))],
}


def commands_with_json() -> Iterator[str]:
    """Yield the commands that have --json, those of a group after its name."""
    for name in COMMANDS:
        command = load_command(name)
        members = getattr(command, "commands", None)
        for label, each in [(name, command)] if members is None else [(f"{name} {n}", c) for n, c in members.items()]:
            if any("--json" in parameter.opts for parameter in each.params):
                yield label


def test_every_command_with_json_is_called_here() -> None:
    assert [*typer.main.get_command(app).commands] == [*COMMANDS]  # type: ignore[attr-defined]
    assert {*commands_with_json()} == {*CALLS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, micro_run: RunDirectory) -> Path:
    """Return a folder with what CALLS name: a finished run, made-up runs, a spec, a script, text and shards."""
    folder = tmp_path_factory.mktemp("answers")
    shutil.copytree(micro_run.root.parent.parent, folder / "runs")
    write_seeds(folder / "made", {1: 1.21, 2: 1.26})
    other = result_of(1, 1.3, name="other", spec_sha256="e" * 64)
    write_run(folder / "made" / "other-eeeeeeee" / "seed-1", other, name="other", spec_sha256="e" * 64)
    (folder / "search.yaml").write_text(SEARCH)
    (folder / "described.json").write_text(json.dumps(DESCRIPTION))
    (folder / "train_gpt.py").write_text("import os\nWIDTH = int(os.environ.get('MODEL_DIM', 512))\n")
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(150)))
    (folder / "claimless").mkdir()
    (folder / "claimless" / "submission.json").write_text("{}")
    Published(folder / "published").official(VARIANT)
    return folder


@pytest.fixture(scope="module")
def hub_address(folder: Path) -> Iterator[str]:
    """Return the address of a server with one export."""
    with serving() as hub:
        hub.repositories = {"someone/data": Published(folder / "export").official(VARIANT)}
        yield hub.address


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=pytest.mark.slow if name == "doctor" else ()) for name in CALLS]
)
def test_every_answer_is_one_object_with_its_version(command: str, folder: Path, hub_address: str) -> None:
    more = ("--endpoint", hub_address) if command == "data fetch" else ()
    for code, arguments in CALLS[command]:
        is_json = () if "--format" in arguments else ("--json",)
        ended = run_here(folder, *command.split(), *arguments, *more, *is_json)
        assert ended.code == code, ended.err
        answer = json.loads(ended.out)
        assert (type(answer["schema_version"]), answer["schema_version"]) == (int, SCHEMA_VERSION)


def test_a_run_is_the_same_in_every_answer(tmp_path: Path, pgolf: Pgolf) -> None:
    """Hashes and swept values of status are those of report, by run id."""
    points = [{"recipe.optimizer.matrix_lr": rate, "recipe.quantizer.bits.default": 6} for rate in (0.5, 0.25)]
    write_points(tmp_path / "runs", points, seeds=(1, 2))
    groups = pgolf("report", "--json").json["groups"]
    assert [group["swept"] for group in groups] == [{"recipe.optimizer.matrix_lr": rate} for rate in (0.25, 0.5)]
    keys = ("spec_sha256", "code_sha256", "data_sha256", "swept")
    reported = {row["run_id"]: (row["seed"], *map(group.get, keys)) for group in groups for row in group["seeds"]}
    rows = pgolf("status", "--json").json["runs"]
    assert {row["run_id"]: (row["seed"], *map(row.get, keys)) for row in rows} == reported
    assert len(reported) == 4


def test_seeds_and_compare_answer_with_their_groups(folder: Path) -> None:
    answer = run_here(folder, "seeds", *MICRO, "--n", "1", "--json").json
    (group,), (run,) = answer["groups"], answer["runs"]
    assert [row["run_id"] for row in group["seeds"]] == [run["run_id"]]
    assert group["mean"] == run["result"]["headline"]["val_bpb"]
    assert (group["n"], group["std"], group["ci95"]) == (1, None, None)
    compared = run_here(folder, "compare", "exp", "other", "--runs-dir", "made", "--json").json
    assert [group["name"] for group in compared["groups"]] == [compared["first"], compared["second"]]
    assert compared["groups"][0]["mean"] == pytest.approx((1.21 + 1.26) / 2)


def test_a_ranking_has_the_spread_of_each_point() -> None:
    search = Search(values={"recipe.x": Range(low=0, high=1)})
    scores = [1.21, 1.26, 1.234567]
    whole = Candidate(1, {"recipe.x": 0.5}, "chance", {2: dict(enumerate(scores))}, {2: "exp-aaaaaaaa/seed-0"})
    found = row(search, standing_of(search, whole))
    interval = stats.t.interval(0.95, 2, loc=np.mean(scores), scale=stats.sem(scores))
    assert found["val_bpb"] == pytest.approx(np.mean(scores))
    assert found["std"] == pytest.approx(np.std(scores, ddof=1))
    assert found["ci95"] == pytest.approx(interval)
    assert found["run_id"] == "exp-aaaaaaaa/seed-0"
    begun = row(search, standing_of(search, Candidate(2, {"recipe.x": 0.25}, "chance")))
    assert (begun["val_bpb"], begun["std"], begun["ci95"], begun["run_id"]) == (None,) * 4
