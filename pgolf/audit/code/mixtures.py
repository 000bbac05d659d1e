"""Mixtures whose weights, gates or bytes look at the target."""

import ast
import re
from collections.abc import Iterator

from pgolf.audit.code.flow import names_in
from pgolf.audit.code.program import Program, Scope, call_name
from pgolf.audit.code.suspicion import Suspicion, suspect
from pgolf.audit.code.targets import PROBABILITY, target_names

CLASSES = re.compile(r"bound|start|lead|space|is_new|word|class|kind|digit|punct")
WEIGHTS = re.compile(r"hint|lam|alpha|weight|gate|mix|conf|boost|tilt|eta|blend|emit|use_")


def target_gates(program: Program) -> Iterator[Suspicion]:
    """Weights and choices of a mixture that look at the target."""
    for scope in program.scopes:
        targets = target_names(scope)
        if not targets:
            continue
        of_target = target_probabilities(scope, targets)
        hits = hit_names(scope, targets)
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
        case ast.Call() if call_name(node) in ("maximum", "fmax", "max") and len(node.args) == 2:
            if all(names_in(each) & of_target for each in node.args):
                return f"`{ast.unparse(node)[:80]}` takes the better of two probabilities of the target"
        case ast.Call() if call_name(node) == "where" and len(node.args) == 3:
            test = node.args[0]
            if is_comparison_of_probabilities(test, of_target):
                return f"`{ast.unparse(test)[:80]}` chooses by how probable the target is"
        case ast.If() | ast.IfExp():
            if is_comparison_of_probabilities(node.test, of_target):
                return f"`{ast.unparse(node.test)[:80]}` chooses by how probable the target is"
        case ast.Assign(targets=assigned, value=value):
            made = {name for target in assigned for name in names_in(target)}
            if any(WEIGHTS.search(name) for name in made) and (seen := reads_class_of_target(value, targets)):
                return f"`{ast.unparse(node)[:80]}` depends on {seen} of the target"
            if any(WEIGHTS.search(name) for name in made) and names_in(value) & hits and not made & hits:
                return f"`{ast.unparse(node)[:80]}` depends on whether a guess is the target"
            if any(WEIGHTS.search(name) for name in made) and is_comparison_of_probabilities(value, of_target):
                return f"`{ast.unparse(node)[:80]}` depends on how probable the target is"
    return None


def is_comparison_of_probabilities(node: ast.AST, of_target: set[str]) -> bool:
    """Whether two probabilities of the target are compared."""
    for part in ast.walk(node):
        if isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.Gt | ast.Lt | ast.GtE | ast.LtE):
            sides = (part.left, part.comparators[0])
            if all(names_in(side) & of_target for side in sides):
                return True
    return False


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
        if "ppm" not in " ".join(names_in(scope.node)).lower():
            continue
        for node in scope.own_nodes():
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                above, below = " ".join(names_in(node.left)), " ".join(names_in(node.right))
                if re.search(r"logp|lp|nll|prob", above) and re.search(r"n_?bytes|byte_?len|nb$|n_b|byte_count", below):
                    words = f"`{ast.unparse(node)[:80]}` spreads a token's probability over its bytes"
                    yield suspect(program, scope, node, "BYTE-PPM", words)
                    break
