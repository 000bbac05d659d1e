"""Converts string literals, f-strings and t-strings. A t-string becomes an f-string of the same fields."""

import ast
import re
import unicodedata
from collections.abc import Callable, Iterator

from tree_sitter import Node

from pgolf.scripts.grammar.nodes import has_token, parts_of, place, place_of, quoted, refuse, text_of

Convert = Callable[[Node], ast.expr]
ESCAPE = re.compile(
    r"\\(?:(?P<newline>\n)|(?P<octal>[0-7]{1,3})|x(?P<hex>[0-9a-fA-F]{2})"
    r"|(?:u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|N\{(?P<name>[^}]+)\})|(?P<letter>[\\'\"abfnrtv]))"
)
LETTERS = dict(zip("\\'\"abfnrtv", "\\'\"\a\b\f\n\r\t\v", strict=True))


def converted_string(node: Node, convert: Convert) -> ast.expr:
    """Return the constant or f-string that a literal, or several after each other, stand for."""
    literals = parts_of(node) if node.type == "concatenated_string" else [node]
    prefixes = [prefix_of(literal) for literal in literals]
    where = place(node)
    if "b" in prefixes[0]:
        if not all("b" in prefix for prefix in prefixes):
            refuse(node, "found bytes and text after each other, expected only one of them")
        return ast.Constant(b"".join(bytes_of(literal) for literal in literals), **where)
    if any("b" in prefix for prefix in prefixes):
        refuse(node, "found bytes and text after each other, expected only one of them")
    values: list[ast.expr] = []
    for literal, prefix in zip(literals, prefixes, strict=True):
        for value in parts_of_text(literal, prefix, convert):
            add_value(value, values, where_of=node)
    if any("f" in prefix or "t" in prefix for prefix in prefixes):
        return spelled(ast.JoinedStr(values, **where))
    text = values[0].value if values and isinstance(values[0], ast.Constant) else ""
    return ast.Constant(text, kind="u" if prefixes[0] == "u" else None, **where)


def add_value(value: ast.expr | str, values: list[ast.expr], where_of: Node) -> None:
    """Append a part of an f-string; text after text is one constant."""
    if isinstance(value, ast.expr):
        values.append(value)
        return
    match values:
        case [*_, ast.Constant(value=str() as before) as last]:
            last.value = before + value
        case _ if value:
            values.append(ast.Constant(value, **place(where_of)))


def prefix_of(literal: Node) -> str:
    """Return the letters before a literal's quote."""
    return text_of(literal.children[0]).rstrip("'\"").lower() if literal.type == "string" else ""


def bytes_of(literal: Node) -> bytes:
    """Return the value of a bytes literal."""
    text = inner_text(literal)
    try:
        return (text if "r" in prefix_of(literal) else unescaped(text, is_bytes=True)).encode("latin-1")
    except UnicodeEncodeError:
        refuse(literal, "found a character in bytes that is not ASCII, expected an escape")


def inner_text(literal: Node) -> str:
    """Return what is between the quotes of a literal."""
    start, end = inner_bytes(literal)
    return (literal.text or b"")[start - literal.start_byte : end - literal.start_byte].decode()


def inner_bytes(literal: Node) -> tuple[int, int]:
    """Return where what is between the quotes begins and ends. Raw strings of backslashes have no node for it."""
    opening = literal.children[0]
    quote = len(text_of(opening)) - len(prefix_of(literal))
    return opening.end_byte, literal.end_byte - quote


def parts_of_text(literal: Node, prefix: str, convert: Convert) -> Iterator[ast.expr | str]:
    """Yield the texts and the fields of a literal."""
    if "f" not in prefix and "t" not in prefix:
        text = inner_text(literal)
        yield text if "r" in prefix else escaped_text(literal, text)
        return
    yield from pieces(literal, *inner_bytes(literal), "r" in prefix, convert)


def pieces(holder: Node, start: int, end: int, is_raw: bool, convert: Convert) -> Iterator[ast.expr | str]:
    """Yield the texts and the fields between two bytes of an f-string or of a field's format."""
    content, base = holder.text or b"", holder.start_byte
    for child in [*holder.children, None]:
        if child is not None and child.type not in ("interpolation", "format_expression"):
            continue
        between = content[start - base : (end if child is None else child.start_byte) - base].decode()
        between = between.replace("{{", "{").replace("}}", "}")
        yield between if is_raw else escaped_text(holder, between)
        if child is not None:
            yield from field(child, is_raw, convert)
            start = child.end_byte


def field(node: Node, is_raw: bool, convert: Convert) -> Iterator[ast.expr | str]:
    """Yield a field of an f-string, after its own text if it ends in `=`."""
    conversion, form = -1, None
    inside: list[Node] = []
    for child in parts_of(node):
        if child.type == "type_conversion":
            conversion = ord(text_of(child)[-1])
        elif child.type == "format_specifier":
            values: list[ast.expr] = []
            for value in pieces(child, child.start_byte + 1, child.end_byte, is_raw, convert):
                add_value(value, values, where_of=child)
            form = ast.JoinedStr(values, **place(child))
        elif child.type == "named_expression":  # f"{x:=10}" is x in the format "=10"
            inside.append(parts_of(child)[0])
            after = (node.text or b"")[inside[0].end_byte - node.start_byte : -1].decode().lstrip()
            form = ast.JoinedStr([ast.Constant(after[1:], **place(child))], **place(child))
        else:
            inside.append(child)
    if not inside:
        refuse(node, f"found no expression in {quoted(node)}, expected one")
    if has_token(node, "="):
        ends = [child.end_byte for child in node.children if child.type == "="]
        following = next((child for child in node.children if child.start_byte >= ends[0]), node)
        yield (node.text or b"")[1 : following.start_byte - node.start_byte].decode()
        if conversion < 0 and form is None:
            conversion = ord("r")
    value = convert(inside[0])
    if len(inside) > 1:
        value = ast.Tuple([value, *map(convert, inside[1:])], ast.Load(), **place(inside[0], inside[-1]))
    yield ast.FormattedValue(value, conversion, form, **place(node))


def escaped_text(literal: Node, text: str) -> str:
    """Return a literal's text with its escapes replaced.

    Raises:
        SyntaxError: an escape names no character.
    """
    try:
        return unescaped(text)
    except (ValueError, KeyError, OverflowError):
        refuse(literal, "found an escape that names no character, expected the name of one")


def unescaped(text: str, *, is_bytes: bool = False) -> str:
    """Return a text with its escapes replaced; what is no escape stays."""
    if "\\" not in text:
        return text

    def character(found: re.Match[str]) -> str:
        kind, value = found.lastgroup, found[found.lastgroup or 0]
        if kind in ("short", "long", "name") and is_bytes:
            return found[0]
        if kind == "newline":
            return ""
        if kind == "letter":
            return LETTERS[value]
        if kind == "name":
            return unicodedata.lookup(value)
        code = int(value, 8 if kind == "octal" else 16)
        return chr(code & 0xFF if is_bytes else code)

    return ESCAPE.sub(character, text)


def spelled(text: ast.JoinedStr) -> ast.expr:
    """Return an f-string that `ast.unparse` can write, as `"...".format(...)` where Python 3.11's cannot.

    Before Python 3.12 no field has a backslash, or a string in the quotes of its f-string; readers of the tree write
    parts of it as text.
    """
    try:
        ast.unparse(text)
    except ValueError:
        form, arguments = "", list[ast.expr]()
        where = place_of(text)
        for value in text.values:
            if isinstance(value, ast.FormattedValue):
                form += "{}"
                arguments.append(value.value)
            elif isinstance(value, ast.Constant):
                form += str(value.value).replace("{", "{{").replace("}", "}}")
        method = ast.Attribute(ast.Constant(form, **where), "format", ast.Load(), **where)
        return ast.Call(method, arguments, [], **where)
    return text
