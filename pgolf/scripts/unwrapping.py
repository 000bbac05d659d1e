"""Unwraps self-extracting programs without running them.

A stub consists of a constant, some decoders and an exec. A small interpreter computes the argument of exec; it knows
constants, names and a list of decoders, and gives up on anything else. Decoders stop at a limit, so that a
decompression bomb takes no more memory than a program.
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


class NotConstant(Exception):
    """An expression cannot be computed from constants and known decoders."""


class TooLarge(Exception):
    """A payload unpacks to more than MOST_BYTES."""


def decode_source(content: bytes) -> str:
    """Return a program's text, decoded by the encoding that it declares.

    Raises:
        SyntaxError: its encoding is unknown.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return content.decode(encoding, errors="replace")


def layers(text: str) -> list[str]:
    """Return a program's text and the texts that it unpacks and runs, outermost first.

    Raises:
        SyntaxError: the outer text is not Python.
        TooLarge: a decompression bomb.
    """
    found = [text]
    while len(found) < MOST_LAYERS:
        inner = executed_text(ast.parse(found[-1]))
        if inner is None:
            break
        found.append(inner)
    return found


def executed_text(tree: ast.Module) -> str | None:
    """Return the text that a program passes to exec or eval, or None if it cannot be computed.

    Raises:
        TooLarge: a decompression bomb.
    """
    evaluator = ConstantEvaluator(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and evaluator.qualified_name(node.func) in RUNNERS:
            try:
                value = evaluator.value(node.args[0])
            except NotConstant:
                continue
            text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
            if isinstance(text, str):
                return text
    return None


def runs_unknown(tree: ast.Module) -> bool:
    """Return whether a program passes text to exec that cannot be computed without running it."""
    evaluator = ConstantEvaluator(tree)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    has_exec = any(evaluator.qualified_name(call.func) in ("exec", "builtins.exec") for call in calls)
    return has_exec and executed_text(tree) is None


class ConstantEvaluator:
    """Evaluates expressions over a module's constants."""

    def __init__(self, tree: ast.Module) -> None:
        self.names: dict[str, list[ast.expr]] = {}
        self.modules: dict[str, str] = {}
        self.bound: dict[str, ast.expr] = {}
        """Arguments of lambdas that are called immediately, by parameter."""
        self.depth = self.steps = 0
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                self.record_assignment(node.targets[0], node.value)
            elif isinstance(node, ast.NamedExpr):
                self.record_assignment(node.target, node.value)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                before = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
                longer = ast.BinOp(before, node.op, node.value)
                self.record_assignment(node.target, ast.copy_location(longer, node))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Lambda):
                for parameter, argument in zip(node.func.args.args, node.args, strict=False):
                    self.bound[parameter.arg] = argument
            elif isinstance(node, ast.Import):
                self.modules |= {alias.asname or alias.name: alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                self.modules |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def record_assignment(self, target: ast.expr, value: ast.expr) -> None:
        """Record the names of an assignment and their values."""
        if isinstance(target, ast.Name):
            self.names.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for each, of in zip(target.elts, value.elts, strict=False):
                self.record_assignment(each, of)

    def value(self, node: ast.expr) -> Any:
        """Return an expression's value.

        Raises:
            NotConstant: its value is not known without running it.
            TooLarge: it unpacks to more than MOST_BYTES.
        """
        self.depth += 1
        self.steps += 1
        try:
            if self.depth > 100 or self.steps > MOST_STEPS:
                raise NotConstant
            found = self.compute(node)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, LookupError) as error:
            raise NotConstant from error
        except (lzma.LZMAError, zlib.error, binascii.Error, OSError, EOFError) as error:
            raise NotConstant from error
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
                return CONSTANTS[self.qualified_name(node)]
            case ast.Call():
                return self.call(node)
        return self.collection(node)

    def collection(self, node: ast.expr) -> Any:
        """Return the value of a list or a dictionary display."""
        if isinstance(node, ast.Tuple | ast.List):
            return [self.value(each) for each in node.elts]
        if isinstance(node, ast.Dict):
            return {self.value(k): self.value(v) for k, v in zip(node.keys, node.values, strict=True) if k}
        raise NotConstant

    def assigned_before(self, name: ast.Name) -> ast.expr:
        """Return the last value assigned to a name above the place where it is used."""
        here = name.lineno, name.col_offset
        above = [value for value in self.names[name.id] if (value.end_lineno or 0, value.end_col_offset or 0) <= here]
        return max(above, key=lambda value: (value.lineno, value.col_offset))

    def product(self, left: Any, right: Any) -> Any:
        """Return a product, refusing long repetitions.

        Raises:
            TooLarge: it unpacks to more than MOST_BYTES.
        """
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
        """Return the result of a known decoder or a harmless method."""
        name = self.qualified_name(node.func)
        if name == "compile":
            return self.value(node.args[0])
        arguments = [self.value(argument) for argument in node.args]
        named = {keyword.arg: self.value(keyword.value) for keyword in node.keywords if keyword.arg}
        if name in DECODERS:
            return DECODERS[name](*arguments, **named)
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            return getattr(self.value(node.func.value), node.func.attr)(*arguments, **named)
        raise NotConstant

    def qualified_name(self, node: ast.expr) -> str:
        """Return the dotted name of a function or constant, with import aliases, __import__ and getattr resolved."""
        if isinstance(node, ast.Name):
            return self.modules.get(node.id) or self.alias(node)
        if isinstance(node, ast.Attribute):
            return f"{self.qualified_name(node.value)}.{node.attr}"
        if not isinstance(node, ast.Call):
            return ""
        match self.qualified_name(node.func), node.args:
            case "__import__" | "importlib.import_module", [module, *_]:
                return self.text(module)
            case "getattr", [holder, attribute, *_]:
                return f"{self.qualified_name(holder)}.{self.text(attribute)}"
        return ""

    def alias(self, name: ast.Name) -> str:
        """Return the function or module that a name was assigned, or the name itself."""
        given = [
            value for value in self.names.get(name.id, []) if isinstance(value, ast.Name | ast.Attribute | ast.Call)
        ]
        self.depth += 1
        try:
            found = self.qualified_name(given[-1]) if given and self.depth < 20 else ""
        finally:
            self.depth -= 1
        return found or name.id

    def text(self, node: ast.expr) -> str:
        """Return an expression's value as text, empty if it is not constant."""
        try:
            return str(self.value(node))
        except NotConstant:
            return ""


def decompress_bounded(decompressor: Any, data: bytes) -> bytes:
    """Decompress data.

    Raises:
        TooLarge: the result has more than MOST_BYTES.
    """
    found = bytes(decompressor.decompress(data, MOST_BYTES + 1))
    if len(found) > MOST_BYTES:
        raise TooLarge
    return found


def inflate_lzma(data: bytes, *settings: Any, **named: Any) -> bytes:
    """Decompress as lzma.decompress does, with the same format, memory limit and filters, up to MOST_BYTES."""
    return decompress_bounded(lzma.LZMADecompressor(*settings, **named), data)


def inflate_zlib(data: bytes, wbits: int = zlib.MAX_WBITS) -> bytes:
    """Decompress as zlib.decompress does, up to MOST_BYTES."""
    return decompress_bounded(zlib.decompressobj(wbits), data)


def inflate_brotli(data: bytes) -> bytes:
    """Decompress as brotli.decompress does, up to MOST_BYTES."""
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
    "bz2.decompress": lambda data: decompress_bounded(bz2.BZ2Decompressor(), data),
    "brotli.decompress": inflate_brotli,
}  # fmt: skip
CONSTANTS = {f"lzma.{name}": getattr(lzma, name) for name in dir(lzma) if name.startswith(("FORMAT_", "FILTER_"))}
CONSTANTS |= {"zlib.MAX_WBITS": zlib.MAX_WBITS}
METHODS = {"decode", "encode", "replace", "join", "strip", "split", "translate", "removeprefix", "removesuffix"}
