"""`pgolf spec new` writes a valid spec and its schema, and overwrites nothing of the user's."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from tests.conftest import Pgolf

BASES = sorted(name for name, file in shipped_specs().items() if "extends" not in yaml.safe_load(file.read_text()))


def schema_of(file: Path) -> Path:
    """Return the file that the schema line of a spec names, as an editor resolves it."""
    first, _, _ = file.read_text().partition("\n")
    start, _, path = first.partition("$schema=")
    assert start == "# yaml-language-server: "
    return file.parent / path


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("wider", "wider.yaml"),
        ("wider.yaml", "wider.yaml"),
        ("wider.yml", "wider.yml"),
        ("v1.5", "v1.5.yaml"),
        ("studies/a/wider", "studies/a/wider.yaml"),
        ("a name", "a name.yaml"),
    ],
)
def test_a_new_spec_is_valid_and_points_to_its_schema(
    pgolf: Pgolf, tmp_path: Path, written: str, expected: str
) -> None:
    ended = pgolf("spec", "new", written)
    assert ended.code == 0, ended.err
    file = tmp_path / expected
    assert expected in ended.err
    assert {path for path in tmp_path.rglob("*") if path.is_file() and ".pgolf" not in path.parts} == {file}
    shown = pgolf("spec", "show", expected, "--json").json
    assert shown["question"] == "What happens if ...?"
    assert shown["sources"]["question"].endswith(f"{expected}:6")
    assert shown["recipe"]["optimizer"]["matrix_lr"] == 0.03
    schema = schema_of(file)
    assert schema == file.parent / ".pgolf" / "spec.schema.json"
    assert schema.read_text() == pgolf("spec", "schema").out
    assert set(yaml.safe_load(file.read_text())) <= json.loads(schema.read_text())["properties"].keys()


@pytest.mark.parametrize("base", BASES)
def test_a_new_spec_changes_its_base(pgolf: Pgolf, tmp_path: Path, base: str) -> None:
    assert pgolf("spec", "new", "mine", "--extends", base).code == 0
    found = pgolf("spec", "diff", base, "mine.yaml", "--json").json["differences"]
    assert {"name", "question", "recipe.optimizer.matrix_lr"} == found.keys()


def test_a_new_spec_builds_on_a_file_or_a_script(pgolf: Pgolf, tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text(
        "import os\nRATE = float(os.environ.get('RATE', 0.1))\nSEED = int(os.environ.get('SEED', 1))\n"
    )
    (tmp_path / "script.yaml").write_text(
        "spec_version: 1\nname: own\nprogram: {kind: script, path: train_gpt.py, env: {RATE: '0.2'}}\n"
    )
    ended = pgolf("spec", "new", "studies/mine", "--extends", "script.yaml")
    assert ended.code == 0, ended.err
    file = tmp_path / "studies" / "mine.yaml"
    assert yaml.safe_load(file.read_text())["extends"] == "../script.yaml"
    assert load_spec(file).spec.program.env == {"RATE": "0.2"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mine",), "mine.yaml is already there"),
        (("mine.yaml",), "mine.yaml is already there"),
        (("folder",), "folder is a folder; give the file a name, as in folder/my-run"),
        (("other", "--extends", "own4.yaml"), "found more than 4 specs below other.yaml"),
        (("other", "--extends", "quickstrat"), "did you mean `quickstart`"),
        (("other", "--extends", "nothing.yaml"), "nothing.yaml: no such file"),
    ],
)
def test_a_refusal_leaves_everything_as_it_was(
    pgolf: Pgolf, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "mine.yaml").write_text("extends: quickstart\nname: mine\n")
    for number in range(1, 5):
        base = f"own{number - 1}.yaml" if number > 1 else "quickstart"
        (tmp_path / f"own{number}.yaml").write_text(f"extends: {base}\nname: own{number}\n")
    (tmp_path / "folder").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ended = pgolf("spec", "new", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in " ".join(ended.err.split())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_schema_is_renewed_and_the_user_decides_what_git_ignores(pgolf: Pgolf, tmp_path: Path) -> None:
    assert pgolf("spec", "new", "one").code == 0
    schema, ignored = tmp_path / ".pgolf" / "spec.schema.json", tmp_path / ".pgolf" / ".gitignore"
    schema.write_text("{}")
    ignored.unlink()
    assert pgolf("spec", "new", "two").code == 0
    assert schema.read_text() == pgolf("spec", "schema").out
    assert not ignored.exists()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_sees_the_spec_only(pgolf: Pgolf, tmp_path: Path) -> None:
    assert pgolf("spec", "new", "one").code == 0
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    shown = subprocess.run(["git", "status", "--porcelain", "-uall"], cwd=tmp_path, capture_output=True, check=True)
    assert shown.stdout.decode() == "?? one.yaml\n"
