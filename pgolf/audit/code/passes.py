"""Signatures of scoring the same text twice, and of fitting constants on scores of the text that they apply to."""

import ast
import re
from collections.abc import Iterator

from pgolf.audit.code.adaptation import is_learning, is_scorer, keeps_score
from pgolf.audit.code.flow import Flow, names_in
from pgolf.audit.code.program import Program, Scope, call_name
from pgolf.audit.code.suspicion import Suspicion, suspect
from pgolf.audit.code.targets import assignments
from pgolf.scripts.settings import UNKNOWN

MODEL = re.compile(r"model|net$|^m$|^em$|gpt")
AGAIN = re.compile(r"re_?scor|two_?pass|second_?pass|(^|_)pass_?(2|two)(_|$)|multi_?pass|final_?pass", re.IGNORECASE)
SCORES = re.compile(r"nll|loss|bits|nats|logp|score|(^|_)ce(_|$)")
CONSTANT = re.compile(
    r"^(g|ratio|clip|scale|gain|t|T|temp\w*|tau|alpha|lam|lambda_?|w|weight|bias|blend|mix|gamma|beta)$|temp",
    re.IGNORECASE,
)
HOOKS = {"register_forward_hook", "register_forward_pre_hook"}
READERS = {
    "to",
    "cat",
    "stack",
    "zip",
    "enumerate",
    "range",
    "from_numpy",
    "append",
    "len",
    "print",
    "view",
    "long",
    "next",
    "iter",
}
LEAST = {"min", "argmin", "sorted", "sort"}
CALIBRATION = re.compile(
    r"hessian|calib(?!rate_temp)|gptq|awq|act_stats|activation|(fold|input)_scales|collect_(act|stat|input)",
    re.IGNORECASE,
)


def find_second_passes(program: Program) -> Iterator[Suspicion]:
    """Yield minima of two scores, and calls of functions named after rescoring."""
    for scope in program.scopes:
        scores = {
            name
            for target, value in assignments(scope)
            if isinstance(value, ast.Call) and SCORES.search(call_name(value))
            for name in names_in(target)
        }
        for node in scope.nodes:
            if not isinstance(node, ast.Call):
                continue
            name = call_name(node)
            if name in ("minimum", "fmin", "min", "where") and is_better_of_two(node, scores):
                message = f"`{ast.unparse(node)[:80]}` keeps the better of two scores of a token"
                yield suspect(program, scope, node, "C4-SINGLE-PASS", message)
            elif AGAIN.search(name) and program.called(node):
                message = f"{name} scores text again, by its name"
                yield suspect(program, scope, node, "C4-SINGLE-PASS", message)


def find_rewritten_scores(program: Program) -> Iterator[Suspicion]:
    """Yield scores that are recorded and later overwritten."""
    for scope in program.scopes:
        kept = {
            name
            for node in scope.nodes
            if isinstance(node, ast.Call)
            and call_name(node) == "append"
            and isinstance(node.func, ast.Attribute)
            and keeps_score(node)
            for name in names_in(node.func.value)
        }
        for node in scope.nodes:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Subscript)
                and names_in(node.targets[0].value) & kept
            ):
                message = f"`{ast.unparse(node)[:80]}` overwrites a score that was recorded before"
                yield suspect(program, scope, node, "C4-SINGLE-PASS", message)
            elif isinstance(node, ast.If) and any(map(AGAIN.search, names_in(node.test))):
                value = program.settings.value(node.test)
                if value is UNKNOWN or bool(value) or isinstance(node.body[-1], ast.Return):
                    message = f"`{ast.unparse(node.test)[:80]}` scores text again, by its name"
                    yield suspect(program, scope, node, "C4-SINGLE-PASS", message)


def find_rescoring_after_learning(program: Program, flow: Flow) -> Iterator[Suspicion]:
    """Yield calls that score a model on text after it has learned from it."""
    learners = learning_scopes(program, flow)
    for scope in program.scopes:
        changed: dict[str, ast.Call] = {}
        for node in scope.nodes:
            if isinstance(node, ast.Assign):
                for name in {name for target in node.targets for name in names_in(target)}:
                    if not (isinstance(node.value, ast.Call) and name in names_in(node.value)):
                        changed.pop(name, None)
            if not isinstance(node, ast.Call) or not any(flow.holds(each, scope) for each in node.args):
                continue
            models = {each.id for each in node.args if isinstance(each, ast.Name) and MODEL.search(each.id)}
            callees = program.called(node)
            if any(id(callee) in learners for callee in callees):
                changed |= dict.fromkeys(models, node)
            elif (again := models & changed.keys()) and any(is_scorer(program, callee) for callee in callees):
                name = min(again)
                message = f"{name} has learned from the text in {call_name(changed[name])}, and is scored on it again"
                yield suspect(program, scope, node, "C4-SINGLE-PASS", message)


def learning_scopes(program: Program, flow: Flow) -> set[int]:
    """Return the ids of functions that learn from validation text or call one that does."""
    found = {
        id(scope)
        for scope in program.scopes
        for node in scope.nodes
        if isinstance(node, ast.Call) and is_learning(node, scope, flow)
    }
    for _ in range(4):
        for scope in program.scopes:
            calls = (node for node in scope.nodes if isinstance(node, ast.Call))
            if scope.name and any(id(callee) in found for call in calls for callee in program.called(call)):
                found.add(id(scope))
    return found


def is_better_of_two(node: ast.Call, scores: set[str]) -> bool:
    """Return whether a call keeps the better of two scores: `minimum(a, b)`, `where(a < b, a, b)`."""
    if call_name(node) != "where":
        return len(node.args) == 2 and all(
            any(SCORES.search(n) or n in scores for n in names_in(each)) for each in node.args
        )
    match node.args:
        case [ast.Compare(left=left, ops=[ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE()], comparators=[right]), *kept]:
            return {ast.unparse(each) for each in kept} == {ast.unparse(left), ast.unparse(right)}
    return False


def find_fitted_constants(program: Program, flow: Flow) -> Iterator[Suspicion]:
    """Yield constants, such as a temperature, that are chosen by the validation score."""
    for scope in program.scopes:
        for node in scope.nodes:
            if isinstance(node, ast.For) and is_search(node, scope, flow):
                message = f"{ast.unparse(node.target)} is chosen by the score on validation text"
                is_model = any(isinstance(part, ast.Call) and call_name(part) == "copy_" for part in ast.walk(node))
                rule = "NO-VAL-CALIBRATION" if is_model else "NO-RESCORING-CALIBRATION"
                yield suspect(program, scope, node, rule, message)
            elif isinstance(node, ast.Assign) and is_chosen(node, scope, flow):
                message = f"`{ast.unparse(node)[:80]}` is chosen by a score and applied"
                yield suspect(program, scope, node, "NO-RESCORING-CALIBRATION", message)


def is_search(loop: ast.For, scope: Scope, flow: Flow) -> bool:
    """Return whether a loop over constants scores validation text with each and keeps the best."""
    if not any(CONSTANT.search(name) for name in names_in(loop.target)):
        return False
    calls = [node for node in ast.walk(loop) if isinstance(node, ast.Call)]
    if not any(map(is_better, ast.walk(loop))) and not is_chosen_from(loop, scope):
        return False
    return any(flow.holds(argument, scope) for call in calls for argument in call.args)


def is_chosen_from(loop: ast.For, scope: Scope) -> bool:
    """Return whether the function takes the minimum of the values that a loop writes."""
    written: set[str] = set()
    for node in ast.walk(loop):
        match node:
            case ast.AugAssign(target=target):
                written |= names_in(target)
            case ast.Assign(targets=targets):
                written |= {name for target in targets for name in names_in(target)}
            case ast.Call(func=ast.Attribute(attr="append", value=kept)):
                written |= names_in(kept)
    calls = (node for node in scope.nodes if isinstance(node, ast.Call))
    return any(call_name(call) in LEAST and names_in(call) & written for call in calls)


def is_chosen(node: ast.Assign, scope: Scope, flow: Flow) -> bool:
    """Return whether a constant is the best of several by a key, as in `min(values, key=...)`."""
    if not any(CONSTANT.search(name) for target in node.targets for name in names_in(target)):
        return False
    value = node.value
    is_best = (
        isinstance(value, ast.Call)
        and call_name(value) in ("min", "max")
        and any(k.arg == "key" for k in value.keywords)
    )
    return is_best and any(isinstance(part, ast.expr) and flow.is_source(part, scope) for part in scope.nodes)


def is_better(node: ast.AST) -> bool:
    """Return whether a node compares scores or collects them."""
    match node:
        case ast.Compare(ops=[ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE()]):
            return any(SCORES.search(name) or "best" in name for name in names_in(node))
        case ast.Call(func=ast.Attribute(attr="append")):
            return any(SCORES.search(name) for name in names_in(node))
        case ast.Assign(targets=[ast.Subscript() as target]):
            return any(SCORES.search(name) for name in names_in(target))
    return False


def find_calibrations(program: Program, flow: Flow) -> Iterator[Suspicion]:
    """Yield calibration calls that are given validation text."""
    for scope in program.scopes:
        calls = [node for node in scope.nodes if isinstance(node, ast.Call)]
        is_watched = any(call_name(call) in HOOKS for call in calls)
        for call in calls:
            name = call_name(call)
            is_model = is_watched and (MODEL.search(name) or not program.called(call)) and name not in READERS | HOOKS
            if (is_model or (CALIBRATION.search(name) and "eval" not in name)) and gives_text(flow, call, scope):
                message = f"`{ast.unparse(call)[:80]}` is given validation text"
                yield suspect(program, scope, call, "NO-VAL-CALIBRATION", message)
                break


def gives_text(flow: Flow, node: ast.Call, scope: Scope) -> bool:
    """Return whether an argument of a call holds the text."""
    return any(flow.holds(each, scope) for each in (*node.args, *(keyword.value for keyword in node.keywords)))
