"""Tab completion, through the protocol that the shells speak with the command."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pgolf.cli.completion import is_in_value, rejoined
from pgolf.specs.shipped import shipped_specs
from tests.conftest import run_here
from tests.pgolf.report.builders import write_seeds

START = "import sys; sys.argv = ['pgolf', *sys.argv[1:]]; from pgolf.cli.app import main; main()"
SPEC = """
extends: quickstart
overlays: {small: {recipe: {budget: {train: 3}}}}
"""


def complete(folder: Path, *words: str) -> list[str]:
    """Return what bash is offered for the last word of `pgolf WORDS`; completing prints and writes nothing else."""
    before = sorted(folder.rglob("*"))
    with pytest.MonkeyPatch.context() as patched:
        for name, value in variables(words).items():
            patched.setenv(name, value)
        ended = run_here(folder)
    assert (ended.code, ended.err) == (0, "")
    assert sorted(folder.rglob("*")) == before
    return ended.out.split()


def variables(words: Sequence[str]) -> dict[str, str]:
    """Return the variables by which bash asks for the last word of `pgolf WORDS`."""
    line = " ".join(("pgolf", *words))
    return {"COMP_WORDS": line, "COMP_CWORD": str(len(words)), "_PGOLF_COMPLETE": "complete_bash"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with finished runs, a spec that has an overlay of its own, and a file that is no spec."""
    folder = tmp_path / "work"
    write_seeds(folder / "runs", {1: 1.2, 42: 1.3})
    write_seeds(folder / "elsewhere", {7: 1.2})
    (folder / "mine.yaml").write_text(SPEC)
    (folder / "notes.txt").write_text("no spec")
    return folder


RUNS = ["exp-aaaaaaaa/seed-1", "exp-aaaaaaaa/seed-42"]


@pytest.mark.parametrize("command", ["run", "seeds", "preflight", "search", "fit", "doctor", "spec show", "spec diff"])
def test_a_spec_is_a_shipped_one_or_a_yaml_file(folder: Path, command: str) -> None:
    assert complete(folder, *command.split(), "") == [*shipped_specs(), "mine.yaml"]
    assert complete(folder, *command.split(), "qui") == ["quickstart"]


@pytest.mark.parametrize("command", ["logs", "attach", "cancel", "fetch", "submission", "run --from-checkpoint"])
def test_a_run_is_completed_by_its_id(folder: Path, command: str) -> None:
    assert complete(folder, *command.split(), "") == RUNS
    assert complete(folder, *command.split(), RUNS[1][:-1]) == [RUNS[1]]


def test_runs_are_those_of_the_named_folder(folder: Path) -> None:
    assert complete(folder, "logs", "--runs-dir", "elsewhere", "") == ["exp-aaaaaaaa/seed-7"]
    assert complete(folder, "logs", "--runs-dir", "nowhere", "") == []
    assert complete(folder, "bundle", "exp") == complete(folder, "audit", "exp") == RUNS
    assert complete(folder, "compare", "") == complete(folder, "compare", "exp-a", "") == ["exp-aaaaaaaa"]


def test_overlays_and_keys_are_those_of_the_spec(folder: Path) -> None:
    assert complete(folder, "run", "quickstart", "--with", "") == ["tiny", "micro", "mine.yaml"]
    assert complete(folder, "seeds", "mine.yaml", "--with", "") == ["tiny", "micro", "small", "mine.yaml"]
    momentum = "recipe.optimizer.momentum."
    assert complete(folder, "preflight", "mine.yaml", "--set", momentum) == [
        f"{momentum}{name}=" for name in ("start", "end", "warmup_steps")
    ]
    assert {*complete(folder, "run", "--on", "")} >= {"local", "modal", "ssh"}
    assert complete(folder, "report", "--format", "c") == ["csv"]
    assert "fineweb10B_sp1024" in complete(folder, "data", "fetch", "fineweb10B_sp1")


def test_bash_splits_an_assignment_at_its_equals_sign(folder: Path) -> None:
    key = "recipe.budget.train"
    assert complete(folder, "run", "--set", key, "=") == []
    assert complete(folder, "run", "--set", key, "=", "b") == [], "a value, for which `baseline` is none"
    assert complete(folder, "seeds", "--set", key, "=", "100", "mine") == ["mine.yaml"]
    assert complete(folder, "seeds", "--set", key, "=", "100", "mine.yaml", "--with", "s") == ["small"]
    assert complete(folder, "run", "--set", f"{key}=1") == [], "other shells do not split"


def test_words_are_joined_at_the_equals_sign() -> None:
    assert rejoined(["run", "--set", "a.b", "=", "1", "x", "--set", "c", "="]) == [
        "run", "--set", "a.b=1", "x", "--set", "c=",
    ]  # fmt: skip
    assert [is_in_value(words) for words in (["--set", "c="], ["--set", "c"], ["--set", "c=1"], ["--set"], [])] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["recipe: [", "extends: nothing-like-it", "", "overlays: 3"])
def test_a_damaged_spec_or_run_completes_to_nothing(folder: Path, text: str) -> None:
    (folder / "mine.yaml").write_text(text)
    assert complete(folder, "run", "mine.yaml", "--with", "s") == []
    assert complete(folder, "run", "mine.yaml", "--set", "recipe") == []
    (folder / "runs" / "exp-aaaaaaaa" / "seed-1" / "spec.json").write_text("{")
    (folder / "runs" / "exp-aaaaaaaa" / "seed-x").mkdir()
    (folder / "runs" / "exp-aaaaaaaa" / "seed-x" / "run.json").write_text("")
    assert complete(folder, "run", "--with", "s") == []
    assert complete(folder, "logs", "") == RUNS
    assert complete(folder, "logs", "--no-such-option", "") == RUNS


@pytest.mark.parametrize("command", ["run", "seeds", "preflight", "search", "logs", "attach"])
def test_completing_a_spec_or_a_run_is_fast(folder: Path, command: str) -> None:
    """The classes of a spec would double the time, and torch would take seconds."""
    code = f"""
try:
    {START}
except SystemExit:
    assert not {{"pgolf.specs.experiment", "yaml", "torch", "numpy"}} & sys.modules.keys()
"""
    environment = os.environ | variables([command, ""])
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split()
    assert ended.stderr == ""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_after_installing_it(folder: Path, tmp_path: Path) -> None:
    """The function that bash calls is the one that --install-completion writes."""
    home, command = tmp_path / "home", tmp_path / "bin" / "pgolf"
    home.mkdir()
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\n{START}\n")
    command.chmod(0o755)
    script = """
pgolf --install-completion
source ~/.bashrc
COMP_WORDS=(pgolf logs exp) COMP_CWORD=2
_pgolf_completion pgolf
echo "offered: ${COMPREPLY[*]}"
pgolf --show-completion
"""
    environment = {
        "HOME": str(home),
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]),
    }
    ended = subprocess.run(
        ["bash", "--norc"], input=script, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert "bash completion installed in" in ended.stdout, ended.stderr
    assert f"offered: {' '.join(RUNS)}" in ended.stdout
    assert "complete -o default -F _pgolf_completion pgolf" in ended.stdout
    assert ended.stderr == ""
