"""The text of a program that somebody else wrote: read, decoded and parsed within bounds of memory.

A parsed token takes about 1 kB, so that a file of a few megabytes can take gigabytes. Tokens are therefore counted
before anything is parsed. The largest public program has 192 kB, and public programs are nested up to 20 levels deep.
"""

import ast
import codecs
import io
import re
import stat
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

MOST_BYTES = 4_000_000
MOST_TOKENS = 100_000
# Of all files of a program or a folder together.
MOST_TOTAL_TOKENS = 250_000
# Python's own recursion limit is 1,000 calls; readers of a tree take up to five a level.
MOST_LEVELS = 100
MANY_LEVELS = f"it is nested in more than {MOST_LEVELS} levels, as no program is"
NESTED = "it is nested too deeply"
# More digits of an integer are not converted to text by Python itself.
MOST_INTEGER_BITS = 14_000
# Encodings that decode in linear time. Python knows others, such as punycode, which take minutes for a megabyte.
ENCODINGS = re.compile(
    r"utf-8(?:-sig)?|ascii|iso8859-\d{1,2}|cp\d{3,4}|koi8-[rut]|mac-\w{1,12}|gb\w{1,6}|big5|euc_\w{2}|shift_jis"
)
# A literal, a comment or a token. A literal whose end is missing goes on to the end of the text or the line.
TOKEN = re.compile(
    r"""
    (?P<formatted>(?:[ft]r?|r[ft])(?P<quote>\"{3}|'{3}|"|'))
    | [bru]{0,2}(?:
        \"{3} (?:[^"\\] | \\. | "(?!""))*+ (?:\"{3} | \Z)
      | '{3} (?:[^'\\] | \\. | '(?!''))*+ (?:'{3} | \Z)
      | " (?:[^"\\\n] | \\.)*+ "?
      | ' (?:[^'\\\n] | \\.)*+ '?
    )
    | \#[^\n]*+ | \w++ | \n | [^\s\w]
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


class TooLarge(Exception):
    """A text is larger than any program is, or unpacks to more.

    Attributes:
        problem: what is how large.
        line: the line of the text, where it is known.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem if line is None else f"line {line}: {problem}")
        self.problem, self.line = problem, line


def read_source(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a program's file.

    Raises:
        TooLarge: it has more than `most` bytes.
        OSError: it cannot be read, or is no regular file.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "is not a regular file", str(path))
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise TooLarge(f"it has {max(status.st_size, len(content)):,} bytes; at most {most:,} are read")
    return content


def decode_source(content: bytes) -> str:
    """Return a program's text, decoded by the encoding that it declares.

    Raises:
        SyntaxError: its encoding is unknown, or none that programs are written in.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    if ENCODINGS.fullmatch(codecs.lookup(encoding).name) is None:
        raise SyntaxError(f"found the encoding {encoding[:40]}, expected utf-8")
    return content.decode(encoding, errors="replace")


@dataclass(slots=True)
class Part:
    """A part of an f-string: its text, the code of a field, or the format of one."""

    quote: str
    kind: Literal["text", "code", "format"] = "text"
    depth: int = 0
    """Open brackets of the code."""


def count_tokens(text: str) -> int:
    """Return the number of tokens, or MOST_TOKENS + 1 if there are more."""
    return sum(1 for _ in islice(token_places(text), MOST_TOKENS + 1))


def token_places(text: str) -> Iterator[int]:
    """Yield the places of a program's tokens, also of those in the fields of f-strings. It need not be a program."""
    place, parts = 0, list[Part]()
    while True:
        if parts and parts[-1].kind != "code":
            place = end_of_text(text, place, parts)
            continue
        found = TOKEN.search(text, place)
        if found is None:
            return
        yield found.start()
        place = found.end()
        if found["formatted"]:
            parts.append(Part(found["quote"]))
        elif parts:
            follow_code(found[0], parts)


def follow_code(token: str, parts: list[Part]) -> None:
    """Follow a token in the field of an f-string, which a brace ends and a colon changes to a format."""
    code = parts[-1]
    if code.depth == 0 and token == "}":
        parts.pop()
    elif code.depth == 0 and token == ":":
        parts[-1] = Part(code.quote, "format")
    else:
        code.depth = max(0, code.depth + (token in ("(", "[", "{")) - (token in (")", "]", "}")))


@cache
def text_pattern(quote: str, is_format: bool) -> re.Pattern[str]:
    """Return what matches the text of an f-string up to its end or its next field.

    A backslash before a brace escapes nothing, and within a format a doubled brace is none.
    """
    newline = r"\n" if len(quote) == 1 else ""
    parts = [r"\\[^{}]", r"\\", rf"[^\\{{}}{quote[0]}{newline}]"]
    if not is_format:
        parts += [r"\{\{", r"\}"]
    if len(quote) == 3:
        parts.append(rf"{quote[0]}(?!{quote[1:]})")
    return re.compile(f"(?:{'|'.join(parts)})*+", re.DOTALL)


def end_of_text(text: str, place: int, parts: list[Part]) -> int:
    """Return where the text or format of an f-string is followed by code: of a field, or after the f-string."""
    quote, is_format = parts[-1].quote, parts[-1].kind == "format"
    found = text_pattern(quote, is_format).match(text, place)
    end = place if found is None else found.end()
    if text.startswith("{", end):
        parts.append(Part(quote, "code"))
        return end + 1
    if is_format and text.startswith("}", end):
        parts.pop()
        return end + 1
    while parts.pop().kind == "format":
        continue
    return end + len(quote) if text.startswith(quote, end) else end


def parse_source(text: str) -> ast.Module:
    """Return the syntax tree of a program's text.

    Raises:
        TooLarge: it has more characters, tokens, or digits of an integer than any program.
        SyntaxError: it is not Python.
    """
    if len(text) > MOST_BYTES:
        raise TooLarge(f"it has {len(text):,} characters; a program has at most {MOST_BYTES:,}")
    if count_tokens(text) > MOST_TOKENS:
        raise TooLarge(f"it has more than {MOST_TOKENS:,} tokens, as no program has")
    # The parser and its grammar are loaded where the first program is read: not every command reads one.
    from pgolf.scripts.grammar.program import TooDeep, parse_program

    try:
        tree = parse_program(text)
    except TooDeep as error:
        raise TooLarge(MANY_LEVELS, error.line) from None
    check_tree(tree)
    return tree


def check_tree(tree: ast.Module) -> None:
    """Raise for a tree that is deeper, or has a larger integer, than any program."""
    level: list[ast.AST] = [tree]
    for _ in range(MOST_LEVELS):
        for node in level:
            match node:
                case ast.Constant(value=int() as value) if value.bit_length() > MOST_INTEGER_BITS:
                    raise TooLarge(f"an integer has {value.bit_length():,} bits", node.lineno)
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    line = next((node.lineno for node in level if isinstance(node, ast.expr | ast.stmt)), None)
    raise TooLarge(MANY_LEVELS, line)
