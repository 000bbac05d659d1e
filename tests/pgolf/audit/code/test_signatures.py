"""Each signature on scripts that break its rule and on look-alikes that keep it."""

from pathlib import Path
from typing import Any

import pytest

from pgolf.audit.code.reading import SIGNATURE_RULES, read_code
from tests.pgolf.audit.code.scripts import LOOKALIKES, VIOLATIONS, script


def suspicions(text: str, folder: Path, readme: str = "", logged: dict[str, str] | None = None) -> list[dict[str, Any]]:
    (folder / "train_gpt.py").write_text(text)
    (folder / "README.md").write_text(readme)
    found = read_code(folder, logged or {})
    assert found["broken"] == {}
    return list(found["suspicions"])


def reached(found: list[dict[str, Any]]) -> set[str]:
    return {each["rule"] for each in found if each["state"] == "on"}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_script_that_breaks_a_rule_is_suspected_of_it(name: str, tmp_path: Path) -> None:
    rule, text = VIOLATIONS[name]
    assert rule in reached(suspicions(text, tmp_path))


@pytest.mark.parametrize("name", LOOKALIKES)
def test_a_look_alike_is_not_suspected(name: str, tmp_path: Path) -> None:
    rule, text = LOOKALIKES[name]
    assert rule not in reached(suspicions(text, tmp_path))


def test_the_valid_frame_is_suspected_of_nothing(tmp_path: Path) -> None:
    assert suspicions(script(), tmp_path) == []


def test_every_rule_with_a_signature_has_a_violation() -> None:
    untested = {"NO-VAL-WARMUP"}
    assert {rule for rule, _ in VIOLATIONS.values()} == set(SIGNATURE_RULES) - untested


def test_the_reported_line_is_the_one_that_learns(tmp_path: Path) -> None:
    text = VIOLATIONS["epochs before packing"][1]
    (found,) = [each for each in suspicions(text, tmp_path) if each["rule"] == "NO-PREQUANT-TTT"]
    file, line = found["place"].split(":")
    assert file == "train_gpt.py"
    assert ".backward()" in text.splitlines()[int(line) - 1]


def test_a_setting_in_the_readmes_command_enables_code(tmp_path: Path) -> None:
    text = LOOKALIKES["a table switched off"][1]
    (closed,) = [e for e in suspicions(text, tmp_path) if e["rule"] == "NGRAM-TARGET-KEY"]
    assert closed["state"] == "off"
    assert "adapt" in closed["why"]
    opened = suspicions(text, tmp_path, readme="Run: `ADAPT=1 torchrun train_gpt.py`")
    assert "NGRAM-TARGET-KEY" in reached(opened)


def test_a_readme_in_lower_case_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text(LOOKALIKES["a table switched off"][1])
    (tmp_path / "readme.md").write_text("Run: `ADAPT=1 torchrun train_gpt.py`")
    assert "NGRAM-TARGET-KEY" in reached(read_code(tmp_path, {})["suspicions"])


def test_a_setting_in_the_log_disables_code(tmp_path: Path) -> None:
    text = VIOLATIONS["target in a key, switched on"][1]
    assert "NGRAM-TARGET-KEY" not in reached(suspicions(text, tmp_path, logged={"adapt": "False"}))


def test_a_variable_that_the_script_sets_itself_enables_code(tmp_path: Path) -> None:
    text = 'import os\nos.environ["ADAPT"] = "1"\n' + LOOKALIKES["a table switched off"][1]
    assert "NGRAM-TARGET-KEY" in reached(suspicions(text, tmp_path))


def test_a_file_that_is_never_imported_is_dead(tmp_path: Path) -> None:
    (tmp_path / "prepare.py").write_text("import requests\ndef get():\n    requests.get('x')\n")
    found = suspicions(script(), tmp_path)
    assert [each["state"] for each in found if each["rule"] == "SELF-CONTAINED"] == ["dead"]
