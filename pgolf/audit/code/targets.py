"""The names of a function that hold the tokens to be predicted."""

import ast
import re
from collections.abc import Iterator

from pgolf.audit.code.flow import names_in
from pgolf.audit.code.program import Scope, call_name

TARGET = re.compile(
    r"(^|_)(tgt|tgts|target|targets|label|labels|gold|answer|actual|next_tok(en)?s?|nxt|true_tok(en)?s?|y|ys|yb|y_?np|want|truth)"
    r"(_|$|\d|np)"
)
PROBABILITY = re.compile(r"(^|_)(p|q|prob|probs|lp|logp)(_|$|\d)|prob|ngram_p|p_ng|p_nn|p_lm")
MODULES = ("np", "torch", "F", "numpy")


def target_names(scope: Scope) -> set[str]:
    """Return the names that hold the tokens to be predicted, by their name or by a slice one token later."""
    found = {name for name in scope.parameters if TARGET.search(name)} | scored_names(scope)
    for _ in range(3):
        for target, value in assignments(scope):
            is_derived = bool(forwarded_names(value) & found) and not is_computed(value)
            found |= {name for name in names_in(target) if TARGET.search(name) or is_shifted(value) or is_derived}
        for node in scope.nodes:
            if (
                isinstance(node, ast.For | ast.comprehension)
                and isinstance(node.target, ast.Name)
                and forwarded_names(node.iter) & found
            ):
                found.add(node.target.id)
    return found


def scored_names(scope: Scope) -> set[str]:
    """Return the names that are targets of a cross entropy."""
    found: set[str] = set()
    for node in scope.nodes:
        if isinstance(node, ast.Call) and call_name(node) in ("cross_entropy", "nll_loss") and len(node.args) > 1:
            found |= forwarded_names(node.args[1])
    return found - {"self"}


def assignments(scope: Scope) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield assignment targets with their values; tuples of one length part by part."""
    for node in scope.nodes:
        for target in node.targets if isinstance(node, ast.Assign) else ():
            value = node.value  # type: ignore[attr-defined]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
                yield from zip(target.elts, value.elts, strict=True)
            else:
                yield target, value


def shifted_positions(scope: Scope) -> set[str]:
    """Return the names of positions that start one later than the inputs, as in `range(start + 1, ...)`."""
    found: set[str] = set()
    for target, value in assignments(scope):
        is_part = isinstance(value, ast.Subscript) and bool(names_in(value.value) & found)
        if starts_one_later(value) or is_part:
            found |= names_in(target)
    for node in scope.nodes:
        if isinstance(node, ast.For | ast.comprehension) and starts_one_later(node.iter):
            found |= names_in(node.target)
    return found | positions_looked_back_from(scope)


def positions_looked_back_from(scope: Scope) -> set[str]:
    """Return the positions at which an array is read while it is also read before them, as in `tokens[at - back]`."""
    at: dict[str, set[str]] = {}
    before: dict[str, set[str]] = {}
    for node in scope.nodes:
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        match node.slice:
            case ast.Name(id=name):
                at.setdefault(ast.unparse(node.value), set()).add(name)
            case ast.BinOp(left=ast.Name(id=name), op=ast.Sub()):
                before.setdefault(ast.unparse(node.value), set()).add(name)
    return {name for array, names in at.items() for name in names & before.get(array, set())}


def starts_one_later(node: ast.expr) -> bool:
    """Return whether an expression contains `range(start + 1, ...)` or `arange(start + 1, ...)`."""
    return any(
        isinstance(part, ast.Call)
        and call_name(part) in ("range", "arange")
        and len(part.args) > 1
        and is_one_more(part.args[0])
        for part in ast.walk(node)
    )


def reads_target(node: ast.AST, targets: set[str], places: set[str]) -> bool:
    """Return whether a node reads the target, by its name or at a shifted position."""
    return bool(names_in(node) & targets) or any(
        isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Name) and part.slice.id in places
        for part in ast.walk(node)
    )


def forwarded_names(node: ast.expr) -> set[str]:
    """Return the names whose tokens an expression passes on through casts, slices and copies."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return {name}
        case ast.Subscript():
            return forwarded_names(node.value)
        case ast.Call(func=ast.Attribute(value=holder, attr=method), args=arguments) if not PROBABILITY.search(method):
            is_module = isinstance(holder, ast.Name) and holder.id in MODULES
            return (
                forwarded_names(arguments[0])
                if is_module and arguments
                else set()
                if is_module
                else forwarded_names(holder)
            )
        case ast.Call(args=[only]):
            return forwarded_names(only)
    return set()


def is_shifted(node: ast.expr) -> bool:
    """Return whether an expression contains `tokens[start + 1 : ...]` or `x[..., 1:]`."""
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript):
            slices = part.slice.elts if isinstance(part.slice, ast.Tuple) else [part.slice]
            if any(
                isinstance(each, ast.Slice) and each.lower is not None and is_one_more(each.lower) for each in slices
            ):
                return True
    return False


def is_one_more(node: ast.expr) -> bool:
    """Return whether an expression is 1, or something plus 1."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return any(isinstance(side, ast.Constant) and side.value == 1 for side in (node.left, node.right))
    return isinstance(node, ast.Constant) and node.value == 1


def is_computed(node: ast.expr) -> bool:
    """Return whether an expression contains arithmetic."""
    return any(isinstance(part, ast.BinOp) for part in ast.walk(node))
