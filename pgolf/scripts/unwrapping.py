"""Unwraps self-extracting programs without running them.

A stub consists of a constant, some decoders and an exec. A small interpreter computes the argument of exec; it knows
constants, names and a list of operations (pgolf/scripts/operations.py), and gives up on anything else. Each result is
bounded before it is computed, and so are all of them together, so that a bomb takes no more memory than a program.
"""

import ast
import binascii
import lzma
import zlib
from bisect import bisect_right
from itertools import accumulate
from typing import Any

from pgolf.scripts.operations import DECODERS, METHODS, NotConstant, add, limited, multiply, size_of
from pgolf.scripts.source import MOST_BYTES, TooLarge, parse_source

MOST_LAYERS = 5
MOST_STEPS = 100_000
# Bytes of all results together.
MOST_WORK = 16 * MOST_BYTES
RUNNERS = {"exec", "eval", "builtins.exec"}


def layers(text: str) -> list[str]:
    """Return a program's text and the texts that it unpacks and runs, outermost first.

    Raises:
        SyntaxError: the outer text is not Python.
        TooLarge: it is, or unpacks to, more than a program; says where.
    """
    found = [text]
    while len(found) < MOST_LAYERS:
        inner = executed_text(parse_source(found[-1]))
        if inner is None:
            break
        found.append(inner)
    return found


def executed_text(tree: ast.Module) -> str | None:
    """Return the text that a program passes to exec or eval, or None if it cannot be computed.

    Raises:
        TooLarge: it is more than a program; says where.
    """
    evaluator = ConstantEvaluator(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and evaluator.qualified_name(node.func) in RUNNERS:
            try:
                value = evaluator.value(node.args[0])
            except NotConstant:
                continue
            except TooLarge as error:
                raise TooLarge(error.problem, node.lineno) from None
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
        self.histories: dict[str, History] = {}
        self.aliases: dict[str, ast.expr] = {}
        """The last function or module that each name may be assigned."""
        self.resolved: dict[str, str] = {}
        """What aliases stand for, so that each is followed once."""
        self.modules: dict[str, str] = {}
        self.bound: dict[str, ast.expr] = {}
        """Arguments of lambdas that are called immediately, by parameter."""
        self.depth = self.steps = self.work = 0
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
            if isinstance(value, ast.Name | ast.Attribute | ast.Call):
                self.aliases[target.id] = value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for each, of in zip(target.elts, value.elts, strict=False):
                self.record_assignment(each, of)

    def value(self, node: ast.expr) -> Any:
        """Return an expression's value.

        Raises:
            NotConstant: its value is not known without running it.
            TooLarge: it has more than MOST_BYTES, or all values so far have more than MOST_WORK.
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
        size = size_of(found)
        limited(size, "a value")
        self.work += size
        if self.work > MOST_WORK:
            raise TooLarge(f"its steps have more than {MOST_WORK:,} bytes together")
        return found

    def compute(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self.value(self.bound.get(node.id) or self.assigned_before(node))
            case ast.BinOp(op=ast.Add()):
                return add(self.value(node.left), self.value(node.right))
            case ast.BinOp(op=ast.Mult()):
                return multiply(self.value(node.left), self.value(node.right))
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
        if name.id not in self.histories:
            self.histories[name.id] = History(self.names[name.id])
        return self.histories[name.id].last_before((name.lineno, name.col_offset))

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
            text = self.value(node.func.value)
            if isinstance(text, str | bytes):
                return METHODS[node.func.attr](text, *arguments, **named)
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
        if self.depth == 0 and name.id in self.resolved:
            return self.resolved[name.id]
        given = self.aliases.get(name.id)
        self.depth += 1
        try:
            found = self.qualified_name(given) if given is not None and self.depth < 20 else ""
        finally:
            self.depth -= 1
        if self.depth == 0:  # deeper in, a chain of names is cut off earlier
            self.resolved[name.id] = found or name.id
        return found or name.id

    def text(self, node: ast.expr) -> str:
        """Return an expression's value if it is a text, else an empty one."""
        try:
            value = self.value(node)
        except NotConstant:
            return ""
        return value if isinstance(value, str) else ""


class History:
    """The values assigned to a name, by the places where the assignments end."""

    def __init__(self, values: list[ast.expr]) -> None:
        ordered = sorted(values, key=end_of)
        self.ends = [end_of(value) for value in ordered]
        self.last = list(accumulate(ordered, later))

    def last_before(self, place: tuple[int, int]) -> ast.expr:
        """Return the value whose assignment is the last one above a place.

        Raises:
            IndexError: there is none.
        """
        count = bisect_right(self.ends, place)
        if not count:
            raise IndexError
        return self.last[count - 1]


def later(one: ast.expr, other: ast.expr) -> ast.expr:
    """Return the one of two values that begins later."""
    return max(one, other, key=lambda value: (value.lineno, value.col_offset))


def end_of(node: ast.expr) -> tuple[int, int]:
    return node.end_lineno or 0, node.end_col_offset or 0


CONSTANTS = {f"lzma.{name}": getattr(lzma, name) for name in dir(lzma) if name.startswith(("FORMAT_", "FILTER_"))}
CONSTANTS |= {"zlib.MAX_WBITS": zlib.MAX_WBITS}
