"""Signatures of mixtures whose weights, gates or bytes depend on the target."""

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


def find_target_gates(program: Program) -> Iterator[Suspicion]:
    """Yield weights and choices of a mixture that depend on the target."""
    for scope in program.scopes:
        targets = target_names(scope)
        of_target = target_probabilities(scope, targets) | read_at_one_place(scope)
        hits = hit_names(scope, targets) | class_names(scope, targets)
        for node in scope.nodes:
            if (message := gate_reason(node, targets, of_target, hits)) is not None:
                yield suspect(program, scope, node, "NGRAM-TARGET-GATE", message)
                break


def target_probabilities(scope: Scope, targets: set[str]) -> set[str]:
    """Return the names that hold the probability of the target."""
    found: set[str] = set()
    for node in scope.nodes:
        if isinstance(node, ast.Assign):
            text, names = ast.unparse(node.value), names_in(node.value)
            is_read = bool(names & targets) and ("gather" in text or "[" in text)
            is_score = bool(re.search(r"exp\(-", text))
            made = {name for target in node.targets for name in names_in(target)}
            found |= {name for name in made if PROBABILITY.search(name) and (is_read or is_score or names & found)}
    return found


def hit_names(scope: Scope, targets: set[str]) -> set[str]:
    """Return the names that hold whether a guess is the target."""
    found: set[str] = set()
    for node in scope.nodes:
        if isinstance(node, ast.Assign) and any(is_hit(part, targets) for part in ast.walk(node.value)):
            found |= {name for target in node.targets for name in names_in(target)}
    return found


def class_names(scope: Scope, targets: set[str]) -> set[str]:
    """Return the names that hold a property of the target."""
    return {
        name
        for target, value in assignments(scope)
        if reads_class_of_target(value, targets) and not isinstance(value, ast.Call)
        for name in names_in(target)
    }


def is_hit(node: ast.AST, targets: set[str]) -> bool:
    """Return whether a node compares something with the target."""
    match node:
        case ast.Compare(ops=[ast.Eq() | ast.NotEq()]):
            return bool(names_in(node) & targets)
        case ast.Call(func=ast.Attribute(attr="eq" | "ne"), args=[other]):
            return bool(names_in(other) & targets)
    return False


def gate_reason(node: ast.AST, targets: set[str], of_target: set[str], hits: set[str]) -> str | None:
    """Return why a node is a gate that depends on the target; None if it is not."""
    match node:
        case ast.Call(args=[one, other]) if call_name(node) in ("maximum", "fmax", "max"):
            if names_in(one) & of_target and names_in(other) & of_target:
                return f"`{ast.unparse(node)[:80]}` takes the better of two probabilities of the target"
        case ast.Call(args=[test, _, _]) if call_name(node) == "where":
            return choice_reason(test, of_target)
        case ast.If(test=test) | ast.IfExp(test=test):
            return choice_reason(test, of_target)
        case ast.Assign():
            return weight_reason(node, targets, of_target, hits)
    return None


def choice_reason(test: ast.expr, of_target: set[str]) -> str | None:
    """Return why a test chooses by the target; None if it does not."""
    if is_comparison_of_probabilities(test, of_target):
        return f"`{ast.unparse(test)[:80]}` chooses by how probable the target is"
    return None


def weight_reason(node: ast.Assign, targets: set[str], of_target: set[str], hits: set[str]) -> str | None:
    """Return why a weight depends on the target; None if it does not."""
    made = {name for target in node.targets for name in names_in(target)}
    if not any(WEIGHTS.search(name) for name in made):
        return None
    message = f"`{ast.unparse(node)[:80]}` depends on"
    if seen := reads_class_of_target(node.value, targets):
        return f"{message} {seen} of the target"
    if names_in(node.value) & hits and not made & hits:
        return f"{message} what the target is"
    if is_comparison_of_probabilities(node.value, of_target):
        return f"{message} how probable the target is"
    return None


def is_comparison_of_probabilities(node: ast.AST, of_target: set[str]) -> bool:
    """Return whether two probabilities of the target are compared."""
    for part in ast.walk(node):
        if isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.Gt | ast.Lt | ast.GtE | ast.LtE):
            sides = (part.left, part.comparators[0])
            if all(names_in(side) & of_target for side in sides):
                return True
    return False


def read_at_one_place(scope: Scope) -> set[str]:
    """Return the names of values gathered at the same index, such as two probabilities of one target."""
    by_index: dict[str, set[str]] = {}
    for target, value in assignments(scope):
        for part in ast.walk(value):
            if isinstance(part, ast.Call) and call_name(part) in GATHERING and part.args:
                by_index.setdefault(ast.unparse(part.args[-1]), set()).update(names_in(target))
    return {name for names in by_index.values() if len(names) > 1 for name in names}


def reads_class_of_target(node: ast.expr, targets: set[str]) -> str | None:
    """Return the name of a token property that is looked up for the target; None if there is none."""
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript) and names_in(part.slice) & targets:
            name = next((each for each in names_in(part.value) if CLASSES.search(each)), None)
            if name is not None:
                return name
    return None


def find_byte_mixtures(program: Program) -> Iterator[Suspicion]:
    """Yield divisions that spread a token's probability evenly over its bytes, to mix it with a byte model."""
    for scope in program.scopes:
        if "ppm" not in " ".join((scope.name, *scope.parameters, *names_in(scope.node))).lower():
            continue
        for node in scope.nodes:
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                above, below = " ".join(names_in(node.left)), " ".join(names_in(node.right))
                if re.search(r"logp|lp|nll|prob", above) and re.search(r"n_?bytes|byte_?len|nb$|n_b|byte_count", below):
                    message = f"`{ast.unparse(node)[:80]}` spreads a token's probability over its bytes"
                    yield suspect(program, scope, node, "BYTE-PPM", message)
                    break
