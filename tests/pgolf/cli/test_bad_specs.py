"""An invalid spec: exit code 2, one clear message with file:line, and no file written."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import Pgolf

BASE = "spec_version: 1\nextends: quickstart\nname: x\n"

BOMB = "".join(f"{name}: &{name} [{','.join(['*' + below] * 9)}]\n" for below, name in pairwise("abcdefg"))
ANCHORS = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 90))
CASES = {
    "unknown key": (BASE + "recipe:\n  model: {widht: 64}\n", "spec.yaml:5", "did you mean `width`"),
    "unknown key in a component": (BASE + "recipe:\n  quantizer:\n    bit: {}\n", "spec.yaml:6", "did you mean `bits`"),
    "unknown key at the top": (BASE + "reciep: {}\n", "spec.yaml:4", "did you mean `recipe`"),
    "wrong type": (BASE + "recipe:\n  model: {width: wide}\n", "spec.yaml:5", "expected integer"),
    "true for an int": (BASE + "recipe:\n  model:\n    width: true\n", "spec.yaml:6", "found True"),
    "string for an int": (BASE + "recipe:\n  model:\n    width: '512'\n", "spec.yaml:6", "found '512'"),
    "duplicate key": (BASE + "name: y\n", "spec.yaml:4", "line 3"),
    "heads": (BASE + "recipe:\n  model: {attention: {heads: 7, kv_heads: 7}}\n", "spec.yaml:5", "not divide width"),
    "unknown kind": (BASE + "recipe:\n  codec: {kind: brotly}\n", "spec.yaml:5", "did you mean `brotli`"),
    "unknown ruleset": (BASE + "ruleset: golf\n", "", "parameter_golf"),
    "deep by aliases": (ANCHORS, "spec.yaml:", "64 deep"),
    "misspelt slot": ("spec_version: 1\nname: x\nrecipe: {modle: {}}\n", "spec.yaml:3", "did you mean `model`"),
    "beyond all numbers": (BASE + f"recipe: {{model: {{width: 1{'0' * 400}}}}}\n", "spec.yaml:4", "2147483648"),
    "empty": ("", "spec.yaml:1", "expected a mapping"),
    "tab": ("name:\n\tx: 1\n", "spec.yaml:2", "tab"),
    "list": ("- a\n- b\n", "spec.yaml:1", "a list"),
    "brackets": ("x: " + "[" * 4000, "spec.yaml:1", "64 deep"),
    "closed brackets": ("x: " + "[" * 4000 + "]" * 4000, "spec.yaml:1", "64 deep"),
    "alias bomb": ("a: &a [x,x,x,x,x,x,x,x,x]\n" + BOMB, "spec.yaml:", "with all aliases expanded"),
}  # fmt: skip


def only_message(err: str) -> str:
    """Return the only error on stderr, on one line."""
    assert err.count("error:") == 1
    assert "Traceback" not in err
    return " ".join(err.split())


@pytest.mark.parametrize(
    ("command", "case"), [*(("run", case) for case in CASES), ("preflight", "unknown key"), ("preflight", "alias bomb")]
)
def test_an_invalid_spec_is_refused_with_its_place(pgolf: Pgolf, tmp_path: Path, case: str, command: str) -> None:
    text, place, message = CASES[case]
    (tmp_path / "spec.yaml").write_text(text)
    ended = pgolf(command, "spec.yaml")
    message_line = only_message(ended.err)
    assert ended.code == 2
    assert place in message_line
    assert message in message_line
    assert ended.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_files_that_are_not_specs_are_refused(pgolf: Pgolf, tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "folder.yaml").mkdir()
    for reference, message in (
        ("binary.yaml", "not UTF-8"),
        ("folder.yaml", "is a directory"),
        ("missing.yaml", "no such file"),
        ("quikstart", "did you mean `quickstart`"),
    ):
        ended = pgolf("run", reference)
        assert ended.code == 2
        assert message in only_message(ended.err)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "recipe.model.widht=64"), "did you mean `width`"),
        (("--set", "recipe.model.width"), "expected KEY=VALUE"),
        (("--set", "recipe.budget.trian=64"), "did you mean `train`"),
        (("--set", "a" + ".a" * 3000 + "=1"), "expected KEY=VALUE"),
        (("--seed", "99999999999999999999"), "2147483647"),
        (("--with", "tinny"), "it has tiny, micro"),
        (("--with", "nowhere.yaml"), "no such file"),
        (("--on", "mars"), "is not installed"),
    ],
)
def test_misspelled_options_are_refused(pgolf: Pgolf, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    ended = pgolf("run", "quickstart", *arguments)
    assert ended.code == (4 if "--on" in arguments else 2)
    assert message in (" ".join(ended.err.split()) if "--seed" in arguments else only_message(ended.err))
    assert not (tmp_path / "runs").exists()


def test_a_message_has_no_emoji_where_a_line_number_meets_a_word(pgolf: Pgolf, tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text("extends: quickstart\n" + "#\n" * 98 + "100: 1\n")
    ended = pgolf("spec", "show", "long.yaml")
    assert (ended.code, "long.yaml:100: 100 is not a key here" in ended.err) == (2, True), ended.err
