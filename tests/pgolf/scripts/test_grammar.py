"""Programs of every Python 3 are read alike, whichever Python runs pgolf."""

import ast
import io
import sys
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgolf.scripts.grammar.program import parse_program

LIBRARY = Path(sysconfig.get_path("stdlib"))
SAMPLE = (
    "argparse.py", "ast.py", "contextlib.py", "dataclasses.py", "enum.py", "fnmatch.py", "typing.py",
    "unittest/mock.py",
)  # fmt: skip
# A text, and what Python 3.11 reads alike.
NEWER = {
    "same quotes in a field": ('f"dim {h["dim"]}"', "f\"dim {h['dim']}\""),
    "nested twice": ('f"a {f"b {h["c"]}"}"', "f\"a {f'''b {h['c']}'''}\""),
    "lines and comments in a field": ('f"a {\n  h  # the width\n  + 1\n}"', 'f"a {h + 1}"'),
    "format with a nested field": ('f"{h["a"]:>{w["b"]}}"', "f\"{h['a']:>{w['b']}}\""),
    "parameters of types": ("def f[T: int, *A, **P](x: T) -> T: ...", "def f(x: T) -> T: ..."),
    "defaults of parameters of types": ("class C[T = int]: ...", "class C: ..."),
    "alias of a type": ("type X[T] = list[T]", "X = list[T]"),
    "assignment to a call of type": ("type(x).y[0] = z", "type(x).y[0] = z"),
    "several exceptions": ("try: a\nexcept A, B: b", "try: a\nexcept (A, B): b"),
    "groups of exceptions": ("try: a\nexcept* A as e: b", "try: a\nexcept* A as e: b"),
    "t-string": ('t"a {b!r:>{w}}"', 'f"a {b!r:>{w}}"'),
    "star of a call": ("x = [*f(a), *b.c[0]]", "x = [*f(a), *b.c[0]]"),
    "and binds more tightly than xor": ("a ^ b & c ^ d & e", "a ^ b & c ^ d & e"),
    "words that are names elsewhere": (
        "match = type = case = 1\nprint(match[0], type(case))",
        "match = type = case = 1\nprint(match[0], type(case))",
    ),
}


@pytest.mark.parametrize(("text", "older"), NEWER.values(), ids=NEWER)
def test_grammar_of_every_version_is_read(text: str, older: str) -> None:
    assert ast.dump(parse_program(text + "\n")) == ast.dump(ast.parse(older))


def test_a_field_that_older_pythons_cannot_write_is_a_call_of_format() -> None:
    """`ast.unparse` of Python 3.11 refuses a backslash in a field; readers write parts of programs as text."""
    text = ast.unparse(parse_program('x = f"a {"\\n".join(h)} {{b}}"\n'))
    assert eval(text.removeprefix("x = "), {"h": ["1", "2"]}) == "a 1\n2 {b}"


@pytest.mark.parametrize(
    "text",
    [
        "print >> f",
        "print >> f,",
        "print >> sys.stderr, 'x', *y",
        "if x:\n  print >>f(1)[2], print  # a\n",
        "print >> (a | b)",
    ],
)
def test_a_shift_of_print_is_an_expression(text: str) -> None:
    expected = ast.parse(text)
    found = parse_program(f"{text}\n")
    assert ast.dump(found, include_attributes=True) == ast.dump(expected, include_attributes=True)


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("x = 1\nprint 'a'\n", 2, 1, "found the print statement of Python 2"),
        ("f(a=1, b)\n", 1, 8, "found the positional argument `b` after one with a name"),
        ("x = 1\ny = 0777\n", 2, 5, "found the number `0777`"),
        ("a <> b\n", 1, 3, "found `<>`, an operator of Python 2"),
        ("x = f(\n", 1, 1, "found `x = f(`"),
        ("f(x) = 1\n", 1, 1, "found `f(x) =`"),
        ("[f(x), y] = 1\n", 1, 1, "found"),
        ("x = 1\0\n", 1, 6, "found a null byte"),
        ("def f(:\n  pass\n", 1, 7, "found no `)`, expected one"),
        ("x = f'{}'\n", 1, 8, "found"),
    ],
)
def test_what_is_no_python_is_refused_with_its_place(text: str, line: int, column: int, problem: str) -> None:
    with pytest.raises(SyntaxError) as caught:
        parse_program(text)
    assert (caught.value.lineno, caught.value.offset) == (line, column)
    assert caught.value.msg.startswith(problem)
    assert ", expected " in caught.value.msg


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="newer versions add fields to these nodes")
def test_modules_are_read_as_python_reads_them() -> None:
    assert differing(LIBRARY / name for name in SAMPLE) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="newer versions add fields to these nodes")
def test_the_standard_library_is_read_as_python_reads_it() -> None:
    """Three modules are refused.

    In them, a line that is indented less goes on inside brackets after a dot, `print >> f` has no parentheses, and
    `from __future__ import *` stands, which only Python's compiler refuses.
    """
    found = differing(path for path in LIBRARY.rglob("*.py") if "site-packages" not in path.parts)
    assert found == ["test/test_compile.py", "test/test_future_stmt/badsyntax_future8.py", "test/test_print.py"]


def differing(paths: Iterator[Path]) -> list[str]:
    """Return the modules that Python reads, and that are read in another way or with other lines."""
    found = []
    for path in sorted(paths):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                content = path.read_bytes()
                encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
                text = content.decode(encoding)
                expected = ast.parse(text)
            except (SyntaxError, ValueError, LookupError):
                continue
        try:
            read = parse_program(text)
        except SyntaxError:
            found.append(path.relative_to(LIBRARY).as_posix())
            continue
        if ast.dump(read) != ast.dump(expected) or lines_of(read) != lines_of(expected):
            found.append(path.relative_to(LIBRARY).as_posix())
    return found


def lines_of(tree: ast.Module) -> list[tuple[type, int, int | None]]:
    """Return where each node begins and ends. Within f-strings, Python 3.11 counts otherwise."""
    inside = {id(each) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for each in ast.walk(node)}
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.stmt | ast.expr) and id(node) not in inside)
    return [(type(node), node.lineno, node.end_lineno) for node in nodes]
