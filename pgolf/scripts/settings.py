"""Computes a script's settings from constants, defaults of environment variables, and values in its logs and README."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final


class Unknown:
    """The value of an expression that cannot be computed from the text."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()
# Parsing takes about 500 bytes for each character.
LONGEST_LITERAL = 1_000
ENVIRONMENT_NAME = re.compile(r"[A-Z][A-Z0-9_]{2,60}")
RUN_COMMAND = re.compile(r"(?:^|[\s`])([A-Z][A-Z0-9_]{2,60})=([\w.+-]{1,40})(?=[\s`\\]|$)")
CASTS: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "str": str, "bool": bool}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda one, other: one in other,
    ast.NotIn: lambda one, other: one not in other,
}


class Settings:
    """Values of names and attributes that are always assigned the same constant or environment variable."""

    def __init__(self, trees: list[ast.Module], environment: Mapping[str, str], logged: Mapping[str, str]) -> None:
        self.environment, self.logged = dict(environment), logged
        self.assigned: dict[str, list[ast.expr | None]] = {"__name__": [ast.Constant("__main__")]}
        self.depth = 0
        for tree in trees:
            for node in ast.walk(tree):
                self.record(node)

    def record(self, node: ast.AST) -> None:
        """Record what a node assigns, as None if it is not a single expression."""
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self.assign(target, value)
            case ast.AnnAssign(target=target, value=value):
                self.assign(target, value)
            case ast.AugAssign(target=target) | ast.NamedExpr(target=target):
                self.assign(target, None)
            case ast.For(target=target) | ast.comprehension(target=target):
                self.assign(target, None)
            case ast.withitem(optional_vars=ast.expr() as target):
                self.assign(target, None)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                arguments = node.args
                for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                    self.assigned.setdefault(each.arg, []).append(None)
            case ast.Call():
                self.record_parser_default(node)
                self.record_environment_default(node)

    def record_parser_default(self, node: ast.Call) -> None:
        """Record the default of an argparse option as an attribute's value."""
        if not (isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument" and node.args):
            return
        flag = node.args[-1]
        default = next((each.value for each in node.keywords if each.arg == "default"), None)
        action = next((each.value for each in node.keywords if each.arg == "action"), None)
        if isinstance(action, ast.Constant) and action.value == "store_true":
            default = ast.Constant(False)
        if isinstance(flag, ast.Constant) and isinstance(flag.value, str):
            self.assigned.setdefault(flag.value.lstrip("-").replace("-", "_"), []).append(default)

    def record_environment_default(self, node: ast.Call) -> None:
        """Record a variable that the script sets itself with `os.environ.setdefault`."""
        if isinstance(node.func, ast.Attribute) and node.func.attr == "setdefault" and len(node.args) == 2:
            name, value = node.args
            if (
                isinstance(name, ast.Constant)
                and isinstance(value, ast.Constant)
                and "environ" in ast.unparse(node.func)
            ):
                self.environment.setdefault(str(name.value), str(value.value))

    def assign(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Name):
            self.assigned.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Attribute):
            self.assigned.setdefault(target.attr, []).append(value)
        elif isinstance(target, ast.Subscript) and "environ" in ast.unparse(target.value):
            if isinstance(target.slice, ast.Constant) and isinstance(value, ast.Constant):
                self.environment[str(target.slice.value)] = str(value.value)
        elif isinstance(target, ast.Tuple | ast.List):
            for each in target.elts:
                self.assign(each, None)

    def value(self, node: ast.expr) -> Any:
        """Return an expression's default value, or UNKNOWN."""
        self.depth += 1
        try:
            return UNKNOWN if self.depth > 40 else self.compute(node)
        except (ValueError, TypeError, KeyError, ZeroDivisionError, OverflowError):
            return UNKNOWN
        finally:
            self.depth -= 1

    def compute(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return self.named(name)
            case ast.Call() | ast.Subscript():
                return self.read(node)
            case ast.BoolOp():
                return self.combine(isinstance(node.op, ast.And), [self.value(each) for each in node.values])
            case ast.IfExp():
                test = self.value(node.test)
                return UNKNOWN if test is UNKNOWN else self.value(node.body if test else node.orelse)
        return self.compute_from_parts(node)

    def compute_from_parts(self, node: ast.expr) -> Any:
        """Return the value of an expression whose parts must all be known, or UNKNOWN."""
        parts = [self.value(part) for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        if any(part is UNKNOWN for part in parts):
            return UNKNOWN
        match node:
            case ast.UnaryOp(op=ast.Not()):
                return not parts[0]
            case ast.UnaryOp(op=ast.USub()):
                return -parts[0]
            case ast.BinOp(op=ast.Add()):
                return parts[0] + parts[1]
            case ast.Compare(ops=[operation]):
                return COMPARISONS[type(operation)](parts[0], parts[1])
            case ast.Tuple() | ast.List() | ast.Set():
                return parts
        return UNKNOWN

    def named(self, name: str) -> Any:
        """Return the value of a name if all its assignments agree, else UNKNOWN."""
        if name in self.logged:
            return parse_literal(self.logged[name])
        found = self.assigned.get(name, [])
        if not found or any(value is None for value in found):
            return UNKNOWN
        values = [self.value(value) for value in found if value is not None and not is_passed_on(value, name)]
        return values[0] if values and all(value is not UNKNOWN and value == values[0] for value in values) else UNKNOWN

    def combine(self, is_and: bool, values: list[Any]) -> Any:
        """Return the `and` or `or` of values, some of which may be UNKNOWN."""
        known = [bool(value) for value in values if value is not UNKNOWN]
        if (not is_and) in known:
            return not is_and
        return UNKNOWN if len(known) < len(values) else is_and

    def read(self, node: ast.Call | ast.Subscript) -> Any:
        """Return the value of a cast, a string method or an environment variable, or UNKNOWN."""
        if isinstance(node, ast.Subscript):
            name = node.slice.value if isinstance(node.slice, ast.Constant) else None
            return self.environment.get(str(name), UNKNOWN) if "environ" in ast.unparse(node.value)[:40] else UNKNOWN
        if isinstance(node.func, ast.Name) and node.func.id in CASTS and len(node.args) == 1:
            inner = self.value(node.args[0])
            return UNKNOWN if inner is UNKNOWN else CASTS[node.func.id](inner)
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("lower", "strip") and not node.args:
            inner = self.value(node.func.value)
            return inner.lower().strip() if isinstance(inner, str) else UNKNOWN
        return self.variable(node)

    def variable(self, node: ast.Call) -> Any:
        """Return the value of an environment variable read by os.environ.get, getenv or a helper of the script."""
        if not node.args or not isinstance(node.args[0], ast.Constant) or not isinstance(node.args[0].value, str):
            return UNKNOWN
        name = node.args[0].value
        if not ENVIRONMENT_NAME.fullmatch(name):
            return UNKNOWN
        default = (
            node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "default"), None)
        )
        value = UNKNOWN if default is None else self.value(default)
        if name in self.environment:
            return parse_literal(self.environment[name]) if isinstance(value, int | float) else self.environment[name]
        if default is None and "environ" in ast.unparse(node.func):
            return None
        return value


def parse_literal(text: str) -> Any:
    """Return the Python literal in a text, or the text itself if it is not one, or too long for a setting."""
    if len(text) > LONGEST_LITERAL:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def is_passed_on(value: ast.expr, name: str) -> bool:
    """Return whether an assignment only passes on a value of the same name: `x=x`, `self.x = args.x`."""
    return (isinstance(value, ast.Name) and value.id == name) or (
        isinstance(value, ast.Attribute) and value.attr == name
    )


def readme_variables(readme: str) -> dict[str, str]:
    """Return the environment variables that the commands in a README set."""
    return {found[1]: found[2] for found in RUN_COMMAND.finditer(readme)}
