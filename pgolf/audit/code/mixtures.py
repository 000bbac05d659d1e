"""Mixtures whose weights, gates or bytes look at the target."""

import ast
import re
from collections.abc import Iterator

from pgolf.audit.code.flow import names_in
from pgolf.audit.code.program import Program, Scope, call_name
from pgolf.audit.code.suspicion import Suspicion, suspect
from pgolf.audit.code.targets import PROBABILITY, assignments, target_names

CLASSES = re.compile(r"bound|start|lead|space|is_new|word|class|kind|digit|punct")
WEIGHTS = re.compile(r"hint|lam|alpha|beta|weight|gate|mix|conf|boost|tilt|eta|blend|emit|use_|^w$")
GATHERING = {"gather", "take_along_dim", "take_along_axis"}


def target_gates(program: Program) -> Iterator[Suspicion]:
    """Weights and choices of a mixture that look at the target."""
    for scope in program.scopes:
        targets = target_names(scope)
        of_target = target_probabilities(scope, targets) | read_at_one_place(scope)
        hits = hit_names(scope, targets) | class_names(scope, targets)
        for node in scope.own_nodes():
            if (words := gate(node, targets, of_target, hits)) is not None:
                yield suspect(program, scope, node, "NGRAM-TARGET-GATE", words)
                break


def target_probabilities(scope: Scope, targets: set[str]) -> set[str]:
    """Names that hold the probability of the target."""
    found: set[str] = set()
    for node in scope.own_nodes():
        if isinstance(node, ast.Assign):
            text, names = ast.unparse(node.value), names_in(node.value)
            is_read = bool(names & targets) and ("gather" in text or "[" in text)
            is_score = bool(re.search(r"exp\(-", text))
            made = {name for target in node.targets for name in names_in(target)}
            found |= {name for name in made if PROBABILITY.search(name) and (is_read or is_score or names & found)}
    return found


def hit_names(scope: Scope, targets: set[str]) -> set[str]:
    """Names that hold whether a guess is the target."""
    found: set[str] = set()
    for node in scope.own_nodes():
        if isinstance(node, ast.Assign) and any(is_hit(part, targets) for part in ast.walk(node.value)):
            found |= {name for target in node.targets for name in names_in(target)}
    return found


def class_names(scope: Scope, targets: set[str]) -> set[str]:
    """Names that hold a property of the target."""
    return {
        name
        for target, value in assignments(scope)
        if reads_class_of_target(value, targets) and not isinstance(value, ast.Call)
        for name in names_in(target)
    }


def is_hit(node: ast.AST, targets: set[str]) -> bool:
    """Whether a node asks if something is the target."""
    match node:
        case ast.Compare(ops=[ast.Eq() | ast.NotEq()]):
            return bool(names_in(node) & targets)
        case ast.Call(func=ast.Attribute(attr="eq" | "ne"), args=[other]):
            return bool(names_in(other) & targets)
    return False


def gate(node: ast.AST, targets: set[str], of_target: set[str], hits: set[str]) -> str | None:
    """Why a node is a gate that looks at the target, or None."""
    match node:
        case ast.Call(args=[one, other]) if call_name(node) in ("maximum", "fmax", "max"):
            if names_in(one) & of_target and names_in(other) & of_target:
                return f"`{ast.unparse(node)[:80]}` takes the better of two probabilities of the target"
        case ast.Call(args=[test, _, _]) if call_name(node) == "where":
            return choice(test, of_target)
        case ast.If(test=test) | ast.IfExp(test=test):
            return choice(test, of_target)
        case ast.Assign():
            return weight(node, targets, of_target, hits)
    return None


def choice(test: ast.expr, of_target: set[str]) -> str | None:
    """Why a test chooses by the target, or None."""
    if is_comparison_of_probabilities(test, of_target):
        return f"`{ast.unparse(test)[:80]}` chooses by how probable the target is"
    return None


def weight(node: ast.Assign, targets: set[str], of_target: set[str], hits: set[str]) -> str | None:
    """Why a weight depends on the target, or None."""
    made = {name for target in node.targets for name in names_in(target)}
    if not any(WEIGHTS.search(name) for name in made):
        return None
    words = f"`{ast.unparse(node)[:80]}` depends on"
    if seen := reads_class_of_target(node.value, targets):
        return f"{words} {seen} of the target"
    if names_in(node.value) & hits and not made & hits:
        return f"{words} what the target is"
    if is_comparison_of_probabilities(node.value, of_target):
        return f"{words} how probable the target is"
    return None


def is_comparison_of_probabilities(node: ast.AST, of_target: set[str]) -> bool:
    """Whether two probabilities of the target are compared."""
    for part in ast.walk(node):
        if isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.Gt | ast.Lt | ast.GtE | ast.LtE):
            sides = (part.left, part.comparators[0])
            if all(names_in(side) & of_target for side in sides):
                return True
    return False


def read_at_one_place(scope: Scope) -> set[str]:
    """Names of values that are gathered at the same tokens: two probabilities of one target."""
    by_index: dict[str, set[str]] = {}
    for target, value in assignments(scope):
        for part in ast.walk(value):
            if isinstance(part, ast.Call) and call_name(part) in GATHERING and part.args:
                by_index.setdefault(ast.unparse(part.args[-1]), set()).update(names_in(target))
    return {name for names in by_index.values() if len(names) > 1 for name in names}


def reads_class_of_target(node: ast.expr, targets: set[str]) -> str | None:
    """A property of tokens that is looked up for the target."""
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript) and names_in(part.slice) & targets:
            name = next((each for each in names_in(part.value) if CLASSES.search(each)), None)
            if name is not None:
                return name
    return None


def byte_mixtures(program: Program) -> Iterator[Suspicion]:
    """A token's probability spread evenly over its bytes, to be mixed with a byte model."""
    for scope in program.scopes:
        if "ppm" not in " ".join((scope.name, *scope.parameters, *names_in(scope.node))).lower():
            continue
        for node in scope.own_nodes():
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                above, below = " ".join(names_in(node.left)), " ".join(names_in(node.right))
                if re.search(r"logp|lp|nll|prob", above) and re.search(r"n_?bytes|byte_?len|nb$|n_b|byte_count", below):
                    words = f"`{ast.unparse(node)[:80]}` spreads a token's probability over its bytes"
                    yield suspect(program, scope, node, "BYTE-PPM", words)
                    break
