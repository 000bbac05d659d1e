"""Documents that are generated are what the code generates; commands that are quoted exist."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pgolf.cli.commands import COMMANDS
from tests.conftest import Pgolf

ROOT = Path(__file__).parent.parent


def test_the_schema_is_current(pgolf: Pgolf) -> None:
    generated = pgolf("spec", "schema").json
    assert generated == json.loads((ROOT / "docs" / "spec.schema.json").read_text())


def test_the_reference_is_current_and_names_every_key(pgolf: Pgolf) -> None:
    page = pgolf("spec", "reference").out
    assert page == (ROOT / "docs" / "spec.md").read_text()
    schema = json.loads((ROOT / "docs" / "spec.schema.json").read_text())
    for name, part in schema["$defs"].items():
        for key in part.get("properties", {}):
            assert f"| `{key}` |" in page, (name, key)
    assert "## recipe.quantizer.clip: percentile" in page


def test_docstrings_of_recipe_fields_reach_the_schema() -> None:
    schema = json.loads((ROOT / "docs" / "spec.schema.json").read_text())
    assert schema["$defs"]["Gpt"]["properties"]["width"]["description"] == "Width of the residual stream."
    assert schema["$defs"]["Gpt"]["properties"]["width"]["minimum"] == 1


@pytest.mark.slow
def test_the_diff_that_adds_a_component_is_all_it_takes(tmp_path: Path) -> None:
    (diff,) = re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "add_a_component.md").read_text(), re.DOTALL)
    for name in ("pgolf", "launchers", "trainer", "experiments", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], input=diff, text=True, cwd=tmp_path, check=True)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def python(*words: str) -> str:
        command = [sys.executable, *words]
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert ended.returncode == 0, ended.stderr + ended.stdout
        return ended.stdout

    python("-m", "pytest", "-p", "no:cacheprovider", "tests/trainer/averaging/test_polyak.py")
    averaging = "recipe.averaging={kind: polyak, start_step: 6}"
    run = json.loads(python("-m", "pgolf", "run", "quickstart", "--with", "micro", "--set", averaging, "--json"))
    (spec,) = tmp_path.glob("runs/*/seed-1337/spec.json")
    assert json.loads(spec.read_text())["recipe"]["averaging"] == {"kind": "polyak", "start_step": 6}
    assert run["runs"][0]["state"] == "finished"
    plain = json.loads(python("-m", "pgolf", "preflight", "quickstart", "--with", "micro", "--json"))
    assert run["runs"][0]["result"]["code_sha256"] != plain["code_sha256"]


def test_links_and_commands_in_the_readme_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / target).exists(), target
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", readme, re.DOTALL))
    for command in set(re.findall(r"^pgolf (\w+)", blocks, re.MULTILINE)):
        assert command in COMMANDS, command


def test_the_error_in_the_readme_is_the_one_that_is_printed(pgolf: Pgolf, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    (quoted,) = re.findall(r"^error: (spec\.yaml:6: .*)$", readme, re.MULTILINE)
    (spec,) = re.findall(r"```yaml\n(# spec\.yaml\n.*?)```", readme, re.DOTALL)
    (tmp_path / "spec.yaml").write_text(spec.replace("matrix_lr", "matrix_rl"))
    assert quoted in " ".join(pgolf("run", "spec.yaml").err.split())


def test_the_places_in_the_architecture_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    places = re.findall(r"((?:`\w+`(?:, )?)+) in `([\w/]+\.py)`", page)
    assert len(places) > 10
    for names, file in places:
        path = next((ROOT / base / file for base in ("", "pgolf") if (ROOT / base / file).is_file()), None)
        assert path is not None, file
        for name in re.findall(r"\w+", names):
            assert re.search(rf"(def|class) {name}\b|^{name}\b", path.read_text(), re.MULTILINE), (name, file)
    for file in re.findall(r"`((?:trainer|launchers|pgolf)/[\w/]+\.py)`", page):
        assert (ROOT / file).is_file(), file
