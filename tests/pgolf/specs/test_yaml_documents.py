"""Reading YAML: scalars, lines, and errors that name file and line."""

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.errors import SpecError
from pgolf.specs.yaml_documents import Node, Place, describe_value, parse_yaml, read_yaml

JSON_SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text()
JSON_VALUES = st.recursive(
    JSON_SCALARS.filter(lambda value: not isinstance(value, float) or math.isfinite(value)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PLAIN_WORDS = st.text(alphabet="abcdefghij", min_size=1, max_size=6)
AGREED = st.recursive(
    st.integers(-9999, 9999) | st.booleans() | st.none() | PLAIN_WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_WORDS, inner, max_size=4),
    max_leaves=15,
)


def value_of(text: str) -> Any:
    return parse_yaml(f"key: {text}\n", "f.yaml").plain()["key"]


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("3.2e9", 3_200_000_000.0),
        ("1E5", 100_000.0),
        ("-1.5e+2", -150.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+0.25", 0.25),
        ("12", 12),
        ("-7", -7),
        ("+7", 7),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("null", None),
        ("Null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_plain_numbers_booleans_and_nulls_have_their_type(text: str, expected: object) -> None:
    found = value_of(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_nan_is_read_as_nan(text: str) -> None:
    assert math.isnan(value_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "on", "off", "yes", "no", "y", "N", "On", "1:30", "1:30:00", "2024-01-01", "1_000", "0b11", "0o18", "0xZZ",
        "tRUE", "nULL", "1e", "e5", ".", "1.2.3", "inf", "nan", "+.nan", "0x", "=", "١٢",
    ],
)  # fmt: skip
def test_words_that_yaml_1_1_would_convert_stay_strings(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize("text", ["12", "1e-3", "true", "null", "", "0x1F", ".inf"])
@pytest.mark.parametrize("form", ["'{}'", '"{}"', '!!str "{}"'])
def test_a_quoted_scalar_is_a_string(text: str, form: str) -> None:
    assert value_of(form.format(text)) == text


@pytest.mark.parametrize("word", ["on", "yes", "no", "off", "12", "null", "1e3"])
def test_a_key_is_always_the_written_word(word: str) -> None:
    assert parse_yaml(f"{word}: 1\n", "f").plain() == {word: 1}


@settings(deadline=None)
@given(AGREED)
def test_block_style_is_read_as_pyyaml_reads_it(value: object) -> None:
    text = yaml.safe_dump(value)
    words = set(re.findall(r"[a-z]+", text))
    if not words & {"e", "y", "n", "on", "off", "yes", "no"}:
        assert parse_yaml(text, "f").plain() == yaml.safe_load(text)


@pytest.mark.parametrize("letter", ["\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("text", ['a: "x{}y"\nb: 1', "a: x{}y # z{}\nb: 1", "a: 'x{}y\ue000'\nb: 1"])
def test_line_breaks_of_yaml_1_1_are_ordinary_characters(text: str, letter: str) -> None:
    found = parse_yaml(text.replace("{}", letter), "f")
    assert found.plain()["a"].removesuffix("\ue000") == f"x{letter}y"
    assert found.value["b"].place.line == 2


@settings(deadline=None)
@given(JSON_VALUES)
def test_json_is_read_as_json(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1)
    expected = json.loads(text)
    try:
        found = parse_yaml(text, "f").plain()
    except SpecError as refused:
        assert re.search(r"not allowed in YAML|not valid YAML|tab|NUL", str(refused))  # control characters
        assert re.search(r"[^\x20-\x7e]", text.replace("\n", ""))
        return
    assert found == expected
    assert repr(found) == repr(expected)


def test_an_empty_text_is_a_null() -> None:
    assert parse_yaml("", "f").value is None
    assert parse_yaml("# only a comment\n", "f").value is None


TEXT_WITH_LINES = """\
# a comment
name: one

list:
  - 3
  - four: 4
    five: [5,
      6]
block: |
  text
  more
"""


def lines_of(node: Node, prefix: str = "") -> dict[str, int | None]:
    """Return the line of every value and, with @, of every key."""
    found = {prefix: node.place.line}
    if isinstance(node.value, dict):
        found |= {f"{prefix}.{key}@": place.line for key, place in node.key_places.items()}
        for key, member in node.value.items():
            found |= lines_of(member, f"{prefix}.{key}")
    if isinstance(node.value, list):
        for index, member in enumerate(node.value):
            found |= lines_of(member, f"{prefix}.{index}")
    return found


def test_every_value_and_key_knows_its_line() -> None:
    assert lines_of(parse_yaml(TEXT_WITH_LINES, "f")) == {
        "": 2, ".name@": 2, ".list@": 4, ".block@": 9, ".name": 2, ".list": 5, ".list.0": 5, ".list.1": 6,
        ".list.1.four@": 6, ".list.1.five@": 7, ".list.1.four": 6, ".list.1.five": 7, ".list.1.five.0": 7,
        ".list.1.five.1": 8, ".block": 9,
    }  # fmt: skip


def test_an_alias_has_the_value_of_its_anchor() -> None:
    assert parse_yaml("a: &x {k: 1}\nb: *x\n", "f").plain() == {"a": {"k": 1}, "b": {"k": 1}}


def test_a_duplicate_key_is_refused_with_both_lines() -> None:
    said = refusal("name: a\nother: 1\nname: b\n")
    assert said.startswith("f.yaml:3: ")
    assert "'name'" in said
    assert "line 1" in said


def test_a_duplicate_key_deep_inside_is_refused() -> None:
    said = refusal("a:\n  b:\n    c: 1\n    d: 2\n    c: 3\n")
    assert said.startswith("f.yaml:5: ")
    assert "line 3" in said


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a:\n\tb: 1\n", 2, "tab"),
        ("a: 1\nb: *gone\n", 2, "gone"),
        ("a: &x [*x]\n", 1, "alias"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 1\nb: [1, 2\n", 3, "not valid YAML"),
        ("a: 1\n b: 2\n", 2, "not valid YAML"),
        ("a: 'open\n\nb: 1\n", 4, "not valid YAML"),
        ("ok: 1\n? [a, b]\n: 2\n", 2, "key"),
        ("ok: 1\n? {a: b}\n: 2\n", 2, "key"),
    ],
)
def test_bad_yaml_is_refused_at_its_line(text: str, line: int, words: str) -> None:
    said = refusal(text)
    assert said.startswith(f"f.yaml:{line}: ")
    assert words in said


@pytest.mark.parametrize("text", ["[" * 4000, "- " * 4000 + "x", "{a: " * 4000, "a: " + "[" * 2000 + "]" * 2000])
def test_thousands_of_brackets_are_refused_at_once(text: str) -> None:
    start = time.monotonic()
    said = refusal(text)
    assert said.startswith("f.yaml:1: nested more than 64 deep")
    assert time.monotonic() - start < 2


def test_64_levels_are_read() -> None:
    found = parse_yaml("[" * 63 + "7" + "]" * 63, "f").plain()
    for _ in range(63):
        (found,) = found
    assert found == 7
    assert refusal("[" * 64 + "7" + "]" * 64).startswith("f.yaml:1: ")


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    start = time.monotonic()
    said = refusal("\n".join(lines))
    assert time.monotonic() - start < 2
    # 10^5 leaves exceed the limit, which happens in the fifth list.
    assert said.startswith("f.yaml:5: ")


def test_an_integer_of_thousands_of_digits_is_refused_with_its_line() -> None:
    assert refusal("a: 1\nb: " + "9" * 5000 + "\n").startswith("f.yaml:2: ")


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"", ":1: ", "expected a mapping"),
        (b"# nothing\n", ":1: ", "expected a mapping"),
        (b"- a\n- b\n", ":1: ", "a list"),
        (b"\n\njust words\n", ":3: ", "just words"),
        (b"\x80\x81\xff\x00", ": ", "byte 0 is not UTF-8"),
        (b"name: \x00\n", ": ", "not allowed"),
        (b"\x89PNG\r\n\x1a\n", ": ", "UTF-8"),
        (b"a: 1\n" + b"# " + b"x" * 1_000_000, ": ", "more than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_not_a_spec_is_refused(tmp_path: Path, content: bytes, place: str, words: str) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        read_yaml(file)
    assert str(caught.value).startswith(f"{file}{place}")
    assert words in str(caught.value)


def test_a_directory_and_a_missing_file_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=re.escape(f"{tmp_path}: is a directory")):
        read_yaml(tmp_path)
    missing = tmp_path / "none.yaml"
    with pytest.raises(SpecError, match=re.escape(f"{missing}: no such file")):
        read_yaml(missing)


def test_a_path_below_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SpecError, match=r"file/spec\.yaml"):
        read_yaml(tmp_path / "file" / "spec.yaml")


def test_a_file_of_exactly_the_largest_size_is_read(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(b"a: 1\n#".ljust(1_000_000, b"x"))
    assert read_yaml(file).plain() == {"a": 1}


@pytest.mark.parametrize(
    ("value", "said"), [(None, "nothing"), ({}, "a mapping"), ([1], "a list"), ("x", "'x'"), (True, "True")]
)
def test_values_are_described_in_words(value: object, said: str) -> None:
    assert describe_value(value) == said


def test_a_long_value_is_cut() -> None:
    assert len(describe_value("x" * 500)) == 60


def test_a_place_without_a_line_is_its_source() -> None:
    assert str(Place("--set a=1")) == "--set a=1"
    assert str(Place("f.yaml", 3)) == "f.yaml:3"
