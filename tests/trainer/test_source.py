"""The rules that make it possible to bundle the trainer into one file."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import trainer

ROOT = Path(trainer.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))


def test_top_level_names_are_unique_across_the_trainer() -> None:
    names: Counter[str] = Counter()
    for module in MODULES:
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names[node.name] += 1
            elif isinstance(node, ast.Assign):
                names.update(n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name))
    assert [name for name, count in names.items() if count > 1] == []


def test_packages_are_empty() -> None:
    assert [module for module in MODULES if module.name == "__init__.py" and module.read_text()] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_trainer_modules_are_imported_by_name_only(module: Path) -> None:
    # local_code.py loads the user's classes, flash_attention.py one of two packages. doctor.py imports what may be
    # missing, and is in no bundle.
    loads_local_code = module.name in ("local_code.py", "flash_attention.py", "doctor.py")
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            assert not names & ({"trainer", "pgolf"} if loads_local_code else {"trainer", "pgolf", "importlib"})
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            assert node.module.split(".")[0] not in ("pgolf", "launchers", "pydantic", "yaml", "rich")
            assert loads_local_code or not node.module.startswith("importlib")
            assert not any(alias.name == "*" or alias.asname for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_environment_is_not_configuration(module: Path) -> None:
    text = module.read_text()
    if module.name == "cores.py":  # reads OMP_NUM_THREADS, the one exception
        assert re.findall(r"variables\.get\(([^,]*)", text) == ['"OMP_NUM_THREADS"']
        text = text.replace("asked_threads(run, os.environ)", "")
    if (
        module.name == "standalone.py"
    ):  # the program of a bundle takes the challenge's variables, and torchrun's by name
        found = {*re.findall(r'variables\.get\("(\w+)"', text)}
        assert found == {"DATA_PATH", "TOKENIZER_PATH", "SEED", "RUN_ID"}
        text = text.replace("parse_arguments(program, os.environ)", "")
    if module.name == "__main__.py":  # sets a variable for torch, whatever it was
        text = text.replace('os.environ["OMP_WAIT_POLICY"] = "PASSIVE"', "")
    assert "environ" not in text.replace("environment", "")
    assert "getenv" not in text
