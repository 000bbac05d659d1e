"""Self-extracting programs, unwrapped without running them.

A stub is a constant, some decoders and an exec. What the exec is given is computed here by a small interpreter that
knows constants, names, and the decoders of a list; everything else makes it give up. Decoders stop at a limit, so that
a bomb costs no more than a program.
"""

import ast
import base64
import binascii
import bz2
import io
import lzma
import tokenize
import zlib
from collections.abc import Callable
from typing import Any

MOST_BYTES = 8_000_000
MOST_LAYERS = 5
MOST_STEPS = 100_000
RUNNERS = {"exec", "eval", "builtins.exec"}


class NotPlain(Exception):
    """An expression that is no constant behind decoders."""


class TooLarge(Exception):
    """A payload that unpacks to more than any program."""


def decoded(content: bytes) -> str:
    """A program's text, in the encoding that it declares.

    Raises: SyntaxError where it declares one that there is not.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return content.decode(encoding, errors="replace")


def layers(text: str) -> list[str]:
    """A program's text, and the texts that it would run, outermost first.

    Raises: SyntaxError for an outer text that is no Python, TooLarge for a bomb.
    """
    found = [text]
    while len(found) < MOST_LAYERS:
        inner = payload(ast.parse(found[-1]))
        if inner is None:
            break
        found.append(inner)
    return found


def payload(tree: ast.Module) -> str | None:
    """What a program gives to exec, where that can be computed.

    Raises: TooLarge.
    """
    reader = ConstantReader(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and reader.dotted(node.func) in RUNNERS:
            try:
                value = reader.value(node.args[0])
            except NotPlain:
                continue
            text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
            if isinstance(text, str):
                return text
    return None


def runs_unknown(tree: ast.Module) -> bool:
    """Whether a program gives exec what can only be known by running it."""
    reader = ConstantReader(tree)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    return any(reader.dotted(call.func) in ("exec", "builtins.exec") for call in calls) and payload(tree) is None


class ConstantReader:
    """Values of expressions over a module's constants."""

    def __init__(self, tree: ast.Module) -> None:
        self.names: dict[str, list[ast.expr]] = {}
        self.modules: dict[str, str] = {}
        self.bound: dict[str, ast.expr] = {}
        """Parameters of functions without a name that are called where they stand."""
        self.depth = self.steps = 0
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                self.take_assignment(node.targets[0], node.value)
            elif isinstance(node, ast.NamedExpr):
                self.take_assignment(node.target, node.value)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                before = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
                longer = ast.BinOp(before, node.op, node.value)
                self.take_assignment(node.target, ast.copy_location(longer, node))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Lambda):
                for parameter, argument in zip(node.func.args.args, node.args, strict=False):
                    self.bound[parameter.arg] = argument
            elif isinstance(node, ast.Import):
                self.modules |= {alias.asname or alias.name: alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                self.modules |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def take_assignment(self, target: ast.expr, value: ast.expr) -> None:
        """Nothing; the names of an assignment are known."""
        if isinstance(target, ast.Name):
            self.names.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for each, of in zip(target.elts, value.elts, strict=False):
                self.take_assignment(each, of)

    def value(self, node: ast.expr) -> Any:
        """What an expression is.

        Raises: NotPlain, TooLarge.
        """
        self.depth += 1
        self.steps += 1
        try:
            if self.depth > 100 or self.steps > MOST_STEPS:
                raise NotPlain
            found = self.compute(node)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, LookupError) as error:
            raise NotPlain from error
        except (lzma.LZMAError, zlib.error, binascii.Error, OSError, EOFError) as error:
            raise NotPlain from error
        finally:
            self.depth -= 1
        if isinstance(found, bytes | str) and len(found) > MOST_BYTES:
            raise TooLarge
        return found

    def compute(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self.value(self.bound.get(node.id) or self.assigned_before(node))
            case ast.BinOp(op=ast.Add()):
                return self.value(node.left) + self.value(node.right)
            case ast.BinOp(op=ast.Mult()):
                return self.product(self.value(node.left), self.value(node.right))
            case ast.UnaryOp(op=ast.USub()):
                return -self.value(node.operand)
            case ast.Subscript():
                return self.value(node.value)[self.index(node.slice)]
            case ast.Attribute():
                return CONSTANTS[self.dotted(node)]
            case ast.Call():
                return self.call(node)
        return self.collection(node)

    def collection(self, node: ast.expr) -> Any:
        """A list or a dictionary of plain values."""
        if isinstance(node, ast.Tuple | ast.List):
            return [self.value(each) for each in node.elts]
        if isinstance(node, ast.Dict):
            return {self.value(k): self.value(v) for k, v in zip(node.keys, node.values, strict=True) if k}
        raise NotPlain

    def assigned_before(self, name: ast.Name) -> ast.expr:
        """The last value that a name was given above the place where it is used."""
        here = name.lineno, name.col_offset
        above = [value for value in self.names[name.id] if (value.end_lineno or 0, value.end_col_offset or 0) <= here]
        return max(above, key=lambda value: (value.lineno, value.col_offset))

    def product(self, left: Any, right: Any) -> Any:
        """A product that stays small."""
        size = next((len(value) for value in (left, right) if isinstance(value, bytes | str | list)), 1)
        times = next((value for value in (left, right) if isinstance(value, int)), 1)
        if size * times > MOST_BYTES:
            raise TooLarge
        return left * right

    def index(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            parts = (None if part is None else self.value(part) for part in (node.lower, node.upper, node.step))
            return slice(*parts)
        return self.value(node)

    def call(self, node: ast.Call) -> Any:
        """What a call of a known decoder, or of a harmless method, gives."""
        name = self.dotted(node.func)
        if name == "compile":
            return self.value(node.args[0])
        arguments = [self.value(argument) for argument in node.args]
        named = {keyword.arg: self.value(keyword.value) for keyword in node.keywords if keyword.arg}
        if name in DECODERS:
            return DECODERS[name](*arguments, **named)
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            return getattr(self.value(node.func.value), node.func.attr)(*arguments, **named)
        raise NotPlain

    def dotted(self, node: ast.expr) -> str:
        """The real name of a function or constant: aliases of imports, and __import__, resolved."""
        if isinstance(node, ast.Name):
            return self.modules.get(node.id) or self.alias(node)
        if isinstance(node, ast.Attribute):
            return f"{self.dotted(node.value)}.{node.attr}"
        if not isinstance(node, ast.Call):
            return ""
        match self.dotted(node.func), node.args:
            case "__import__" | "importlib.import_module", [module, *_]:
                return self.text(module)
            case "getattr", [holder, attribute, *_]:
                return f"{self.dotted(holder)}.{self.text(attribute)}"
        return ""

    def alias(self, name: ast.Name) -> str:
        """What a name stands for where it was given a function or a module; else the name."""
        given = [
            value for value in self.names.get(name.id, []) if isinstance(value, ast.Name | ast.Attribute | ast.Call)
        ]
        self.depth += 1
        try:
            found = self.dotted(given[-1]) if given and self.depth < 20 else ""
        finally:
            self.depth -= 1
        return found or name.id

    def text(self, node: ast.expr) -> str:
        """A text, empty where it is not plain."""
        try:
            return str(self.value(node))
        except NotPlain:
            return ""


def bounded(decompressor: Any, data: bytes) -> bytes:
    """What a decompressor makes of data.

    Raises: TooLarge.
    """
    found = bytes(decompressor.decompress(data, MOST_BYTES + 1))
    if len(found) > MOST_BYTES:
        raise TooLarge
    return found


def inflate_lzma(data: bytes, *settings: Any, **named: Any) -> bytes:
    """lzma.decompress, bounded: with a format, a limit of memory and filters, as it takes them."""
    return bounded(lzma.LZMADecompressor(*settings, **named), data)


def inflate_zlib(data: bytes, wbits: int = zlib.MAX_WBITS) -> bytes:
    """zlib.decompress, bounded."""
    return bounded(zlib.decompressobj(wbits), data)


def inflate_brotli(data: bytes) -> bytes:
    """brotli.decompress, bounded."""
    import brotli

    decompressor, found = brotli.Decompressor(), bytearray()
    for start in range(0, len(data), 64):
        found += decompressor.process(data[start : start + 64])
        if len(found) > MOST_BYTES:
            raise TooLarge
    return bytes(found)


DECODERS: dict[str, Callable[..., Any]] = {
    **{f"base64.{name}": getattr(base64, name) for name in (
        "b64decode", "b85decode", "a85decode", "b32decode", "b16decode", "urlsafe_b64decode", "standard_b64decode",
        "decodebytes")},
    "binascii.unhexlify": binascii.unhexlify,
    "binascii.a2b_base64": binascii.a2b_base64,
    "binascii.a2b_hex": binascii.a2b_hex,
    "bytes.fromhex": bytes.fromhex,
    "lzma.decompress": inflate_lzma,
    "zlib.decompress": inflate_zlib,
    "gzip.decompress": lambda data: inflate_zlib(data, zlib.MAX_WBITS | 16),
    "bz2.decompress": lambda data: bounded(bz2.BZ2Decompressor(), data),
    "brotli.decompress": inflate_brotli,
}  # fmt: skip
CONSTANTS = {f"lzma.{name}": getattr(lzma, name) for name in dir(lzma) if name.startswith(("FORMAT_", "FILTER_"))}
CONSTANTS |= {"zlib.MAX_WBITS": zlib.MAX_WBITS}
METHODS = {"decode", "encode", "replace", "join", "strip", "split", "translate", "removeprefix", "removesuffix"}
