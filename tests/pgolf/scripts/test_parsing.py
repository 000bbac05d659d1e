"""How a script parses its variables, compared with a run of it under each value."""

import traceback

import pytest

from pgolf.scripts.program import ScriptProgram

WAYS = """
import json, os, sys
from os import environ, getenv as ask

def env(name, default="1"):
    return os.environ.get(name, default)

def env_int(name, default):
    return int(os.environ.get(name, default))

def number(key, default):
    raw = os.environ.get(key)
    return default if raw is None else int(raw)

def word(name):
    return {"a": 1}.get(os.environ.get(name), 2)

class Hyperparameters:
    WHOLE = int(os.environ.get("WHOLE", 9))
    REAL = float(environ.get("REAL", "0.1"))
    TRUTH = bool(int(ask("TRUTH", "1")))
    LISTED = [float(part) for part in os.environ.get("LISTED", "0.9,0.95").split(",")]
    SKIPPED = [int(part) for part in os.environ.get("SKIPPED", "1").split(",") if part.strip()]
    MAPPED = tuple(map(int, os.environ.get("MAPPED", "1 2").split(" ")))
    OPTIONAL = int(os.environ.get("OPTIONAL") or 5)
    STRIPPED = int(os.environ.get("STRIPPED", "5").strip())
    AS_JSON = json.loads(os.environ.get("AS_JSON", "{}"))
    TEXT = os.environ.get("TEXT", "relu")
    FLAG = os.environ.get("FLAG", "0") == "1"
    THERE = int("THERE" in os.environ)

by_helper, by_parser, by_name = int(env("BY_HELPER")), env_int("BY_PARSER", 4), number("BY_NAME", 5)
by_word = int(word("BY_WORD"))
try:
    caught = int(os.environ.get("CAUGHT", 1))
except ValueError:
    caught = 1

def main():
    deep = int(os.environ.get("DEEP", 1))
    rate = os.environ.get("RATE")
    if rate is not None:
        rate = float(rate) if rate.isdigit() else 0.0
    if deep > 10**6:
        return
    later = int(os.environ.get("LATER", 1))

def unused():
    int(os.environ.get("UNUSED", 1))

if __name__ == "__main__":
    main()
"""
NAMES = [
    *("WHOLE", "REAL", "TRUTH", "LISTED", "SKIPPED", "MAPPED", "OPTIONAL", "STRIPPED", "AS_JSON", "TEXT", "FLAG"),
    *("THERE", "BY_HELPER", "BY_PARSER", "BY_NAME", "BY_WORD", "CAUGHT", "DEEP", "RATE", "LATER", "UNUSED"),
]
NOT_CERTAIN = {"BY_NAME", "LATER", "UNUSED", "SKIPPED"}


@pytest.fixture(scope="module")
def program() -> ScriptProgram:
    return ScriptProgram({"train.py": WAYS.encode()})


def failing_line(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Return the line at which the script fails with a variable set; None if it does not fail."""
    with monkeypatch.context() as patched:
        patched.setenv(name, text)
        try:
            exec(compile(WAYS, "train.py", "exec"), {"__name__": "__main__"})
        except ValueError as error:
            frames = traceback.extract_tb(error.__traceback__)
            return [frame.lineno for frame in frames if frame.filename == "train.py"][-1]
    return None


@pytest.mark.parametrize("text", ["lots", "7", "0.5", "true", "", "1,2", "1,,2", " 3 ", "1_000", "nan"])
@pytest.mark.parametrize("name", NAMES)
def test_a_value_is_said_to_fail_exactly_where_the_script_fails(
    name: str, text: str, program: ScriptProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [each for each in program.parsing.parses if each.name == name and each.unparsable(text) is not None]
    line = failing_line(name, text, monkeypatch)
    if name == "UNUSED" or (name, text) == ("BY_NAME", ""):  # a test for None is not told from one for an empty value
        assert line is None or not found
        assert not any(each.is_certain for each in found)
        return
    assert {each.place for each in found} == ({f"train.py:{line}"} if line else set())
    assert not found or any(each.is_certain for each in found) == (name not in NOT_CERTAIN)


def test_a_word_for_true_or_false_that_is_not_understood_is_found(program: ScriptProgram) -> None:
    """`"true" == "1"` is false, and `"false" != "0"` is true."""
    text = (
        'import os\nA = os.environ.get("A", "0") == "1"\nB = os.environ.get("B", "1") != "0"\n'
        'C = os.environ.get("C", "").lower() in ("1", "true", "yes")\nD = os.environ.get("D") == "muon"\n'
    )
    switches = {each.name: each for each in ScriptProgram({"train.py": text.encode()}).parsing.switches}
    assert {*switches} == {"A", "B", "C"}
    for name, value in (("A", "true"), ("A", "1"), ("A", "0"), ("B", "false"), ("B", "0"), ("B", "yes"), ("C", "True"),
                        ("C", "on"), ("C", "no"), ("A", "many")):  # fmt: skip
        namespace: dict[str, bool] = {}
        expression = {"A": 'V == "1"', "B": 'V != "0"', "C": 'V.lower() in ("1", "true", "yes")'}[name]
        taken = eval(expression, {"V": value}, namespace)
        meant = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False}.get(
            value.lower()
        )
        assert switches[name].mistaken(value) == (taken if meant is not None and taken != meant else None), (
            name,
            value,
        )


def test_other_files_are_read_but_not_said_to_run() -> None:
    program = ScriptProgram(
        {"train.py": b"import settings\n", "settings.py": b"import os\nX = int(os.environ.get('X', 1))\n"}
    )
    (parse,) = program.parsing.parses
    assert (parse.name, parse.place, parse.is_certain) == ("X", "settings.py:2", False)
