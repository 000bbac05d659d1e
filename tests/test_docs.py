"""Documents that are generated are what the code generates; commands that are quoted exist."""

import json
import re
from pathlib import Path

from tests.conftest import Pgolf

ROOT = Path(__file__).parent.parent


def test_the_schema_is_current(pgolf: Pgolf) -> None:
    generated = pgolf("spec", "schema").json
    assert generated == json.loads((ROOT / "docs" / "spec.schema.json").read_text())


def test_docstrings_of_recipe_fields_reach_the_schema() -> None:
    schema = json.loads((ROOT / "docs" / "spec.schema.json").read_text())
    assert schema["$defs"]["Gpt"]["properties"]["width"]["description"] == "Width of the residual stream."
    assert schema["$defs"]["Gpt"]["properties"]["width"]["minimum"] == 1


def test_links_and_commands_in_the_readme_lead_somewhere(pgolf: Pgolf) -> None:
    readme = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / target).exists(), target
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", readme, re.DOTALL))
    for command in set(re.findall(r"^pgolf (\w+)", blocks, re.MULTILINE)):
        assert pgolf(command, "--help").code == 0, command


def test_the_error_in_the_readme_is_the_one_that_is_printed(pgolf: Pgolf, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    (quoted,) = re.findall(r"^error: (spec\.yaml:6: .*)$", readme, re.MULTILINE)
    (spec,) = re.findall(r"```yaml\n(# spec\.yaml\n.*?)```", readme, re.DOTALL)
    (tmp_path / "spec.yaml").write_text(spec.replace("matrix_lr", "matrix_rl"))
    assert quoted in " ".join(pgolf("run", "spec.yaml").err.split())
