"""`pgolf fit --by sensitivity`: exponents of steps for the weights of a run, searched on training text."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pgolf.campaign.step_search import ask, search_steps
from pgolf.errors import RunFailed, UsageError
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec
from tests.conftest import Pgolf

QUANTIZER: dict[str, Any] = {
    "kind": "gptq",
    "bits": {"default": 5},
    "clip": {"kind": "deviations", "k": {"default": 10.0}},
    "calibration": {"kind": "training", "sequences": 8},
    "steps": {"kind": "fisher", "calibration": {"kind": "training", "sequences": 8}},
    "float_up_to": 0,
}
OVERLAY = {"recipe": {"quantizer": QUANTIZER, "codec": {"kind": "column_range"}}}
EXPONENTS = ("tensor", "row", "column")


@pytest.fixture
def overlay(tmp_path: Path) -> str:
    path = tmp_path / "steps.yaml"
    path.write_text(yaml.safe_dump(OVERLAY))
    return str(path)


def test_the_answer_is_the_attempt_that_diverges_least(
    pgolf: Pgolf, long_run: RunDirectory, overlay: str, tmp_path: Path
) -> None:
    ended = pgolf(*command_for(long_run), "--with", overlay, "--out", "found.yaml")
    assert ended.code == 0, ended.err
    tried = [line.split() for line in ended.out.splitlines() if line.endswith("nats a token")]
    assert len(tried) == 6  # four exponents of columns, two more of rows
    least = min(tried, key=lambda words: float(words[6]))
    best = {name: float(least[2 * n + 1]) for n, name in enumerate(EXPONENTS)}
    size = long_run.read_result()["artifact"]["total_bytes"]
    written = yaml.safe_load((tmp_path / "found.yaml").read_text())["recipe"]["quantizer"]
    assert written == {"steps": {"kind": "fisher"} | best, "fit_bytes": 0, "fill_bytes": size}
    assert all(name in ended.out for name in ("embedding.tokens", "flat.0.mlp.up"))


@pytest.mark.slow
def test_json_has_every_tensor(pgolf: Pgolf, long_run: RunDirectory, overlay: str, tmp_path: Path) -> None:
    ended = pgolf(*command_for(long_run), "--with", overlay, "--out", "found.yaml", "--json")
    assert ended.code == 0, ended.err
    assert {*EXPONENTS} < ended.json["best"].keys()
    assert sum(tensor["weights"] for tensor in ended.json["tensors"]) > 30_000
    assert ended.json["overlay"] == "found.yaml"


def command_for(run: RunDirectory) -> list[str]:
    return ["fit", "--by", "sensitivity", "--from-checkpoint", run.run_id, "--runs-dir", str(run.root.parent.parent)]


def test_what_cannot_be_searched_is_refused(pgolf: Pgolf, long_run: RunDirectory, overlay: str) -> None:
    runs_dir = str(long_run.root.parent.parent)
    alone = pgolf("fit", "--by", "sensitivity", "--runs-dir", runs_dir)
    assert (alone.code, "name a run with --from-checkpoint" in alone.err) == (2, True)
    parent = pgolf("fit", "--from-checkpoint", long_run.run_id, "--runs-dir", runs_dir)
    assert (parent.code, "needs --by sensitivity" in parent.err) == (2, True)
    command = ["fit", "--by", "sensitivity", "--from-checkpoint", long_run.run_id, "--runs-dir", runs_dir]
    for assignments, why in (
        (["--bytes", "9"], "train_gpt.py alone takes"),
        (["--bytes", "16000000", "--with", overlay], "code and model have at most"),
        (["--with", overlay, "--set", "recipe.quantizer.float_up_to=9000000"], "no matrix has more than 9,000,000"),
        (["--with", overlay, "--set", "recipe.quantizer.published_inverse=true"], "published_inverse"),
    ):
        ended = pgolf(*command, *assignments)
        assert (ended.code, why in " ".join(ended.err.split())) == (2, True), ended.err


def test_a_run_without_float_weights_is_refused(long_run: RunDirectory, tmp_path: Path) -> None:
    spec = load_spec(long_run.files.spec, [], []).spec
    with pytest.raises(UsageError, match="no weights from before quantization"):
        search_steps(RunDirectory(tmp_path / "run" / "seed-1"), spec, None, lambda _: None)


def test_a_search_that_fails_is_one_line() -> None:
    failing = [
        sys.executable,
        "-c",
        "import sys; print('some lines', 'out of memory', sep='\\n', file=sys.stderr); sys.exit(1)",
    ]
    with pytest.raises(RunFailed, match=r"^--by sensitivity: out of memory$"):
        ask(failing, lambda _: None)


def test_what_else_the_trainer_prints_does_not_matter() -> None:
    """Lines of a user's own class on stdout, and more on stderr than a pipe holds."""
    program = "import sys; print('a class of mine'); print('x' * 300_000, file=sys.stderr); "
    program += """print('answer: {"best": {}, "tensors": []}')"""
    assert ask([sys.executable, "-c", program], lambda _: None) == {"best": {}, "tensors": []}
