"""Signatures of learning from validation text before packing, before scoring, or on the text that is then scored."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pgolf.audit.code.flow import Flow, match_arguments, names_in
from pgolf.audit.code.program import Loop, Program, Reach, Scope, call_name
from pgolf.audit.code.suspicion import Suspicion, suspect
from pgolf.audit.code.targets import target_names

SCORE_NAME = re.compile(r"loss|nll|bits|bpb|(^|_)ce(_|$)|nats|score|ledger|logp|cross_entropy|gather")
EPOCH_NAME = re.compile(r"^(ep|epoch|epochs|pass|rounds?|sweep|n_pass|repeat)|epoch|_ep$|pass_")
PACKING = re.compile(r"(?<!de)(?<!un)(quant(?!ile)|gptq|pack(?!ag)|serializ|(?<!de)compress|export)", re.IGNORECASE)
UNPACKING = re.compile(r"dequant|unpack|deserializ|decompress|eval|load|prequant|pre_quant|fake_quant", re.IGNORECASE)
CONTEXT_ONLY = re.compile(r"(^|_)(ctx|context|prefix|seen|past|already|scored_mask|history)")
FRESH = {"zeros", "zeros_like", "Parameter", "randn", "new_zeros", "full", "empty", "ones"}
GRADIENT_FREE = re.compile(r"no_grad|inference_mode")
TEMPERATURE = re.compile(r"temp|tau(_|$)|scale_bias|calib", re.IGNORECASE)
MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Site:
    """A place that learns from validation text: a call of backward, or a call that leads to one."""

    scope: Scope
    node: ast.Call
    learning: ast.Call
    """The call that computes gradients."""
    inner: Scope
    """The function that contains it."""


def find_learning(program: Program, flow: Flow) -> Iterator[Suspicion]:
    """Yield places that learn from validation text before it is scored."""
    for scope in program.scopes:
        for node in scope.nodes:
            if isinstance(node, ast.Call) and is_learning(node, scope, flow):
                yield from judge_site(program, flow, Site(scope, node, node, scope))


def is_learning(node: ast.Call, scope: Scope, flow: Flow) -> bool:
    """Return whether a call takes gradients of a loss on validation text."""
    name = call_name(node)
    if name == "backward" and isinstance(node.func, ast.Attribute):
        return flow.holds(node.func.value, scope) or any(flow.holds(argument, scope) for argument in node.args)
    return (
        name == "grad" and bool(node.args) and "autograd" in ast.unparse(node.func) and flow.holds(node.args[0], scope)
    )


def judge_site(program: Program, flow: Flow, site: Site) -> Iterator[Suspicion]:
    """Yield the suspicion if a call path to a learning place rescores over epochs or does not score first."""
    paths = list(call_paths(program, flow, site, MAX_DEPTH))
    unscored = [path for path in paths if not any(scores_first(program, flow, each) for each in path)]
    for path in paths:
        if (again := next((each for each in path if rescored_by_epochs(program, flow, each)), None)) is not None:
            message = "a loop over epochs scores the same text again after learning from it"
            yield suspect(program, again.scope, again.node, "C4-SINGLE-PASS", message)
            return
    if unscored:
        yield suspect_site(program, site, min(unscored, key=lambda path: path_rank(program, path)))


def path_rank(program: Program, path: list[Site]) -> int:
    """Return a sort key that puts the paths that a run takes first."""
    return ("on", "off", "dead").index(path_reach(program, path).state)


def path_reach(program: Program, path: list[Site]) -> Reach:
    """Return whether a run takes a path, all of whose calls it must reach."""
    reaches = [program.reach(each.node) for each in reversed(path)]
    return next((reach for reach in reaches if reach.state != "on"), reaches[0])


def call_paths(program: Program, flow: Flow, site: Site, depth: int) -> Iterator[list[Site]]:
    """Yield the call paths from a learning place up to the source of the text, innermost call first."""
    callers = [
        (program.scope_of(call), call)
        for call in program.calls_of(site.scope)
        if any(flow.holds(value, program.scope_of(call)) for _, value in match_arguments(site.scope, call))
    ]
    nested = None if isinstance(site.scope.node, ast.Module) else program.scope_of(site.scope.node)
    if not callers and nested is not None and not isinstance(nested.node, ast.Module):
        # A closure, such as LBFGS takes, runs where it is passed on.
        uses = [n for n in nested.nodes if isinstance(n, ast.Call) and site.scope.name in names_in(n)]
        callers = [(nested, call) for call in uses]
    elif not callers:
        # The text belongs to the object or the module, so that every caller makes it learn.
        callers = [(program.scope_of(call), call) for call in program.calls_of(site.scope)]
    if not callers or depth == 0:
        yield [site]
        return
    for scope, call in callers:
        if scope is site.scope:
            continue
        for path in call_paths(program, flow, Site(scope, call, site.learning, site.inner), depth - 1):
            yield [site, *path]


def scores_first(program: Program, flow: Flow, site: Site) -> bool:
    """Return whether a loop around a place scores before it learns."""
    loops = [each for each in program.enclosing(site.node) if isinstance(each, Loop)]
    return any(scoring_in(program, flow, site.scope, loop, site.node) for loop in loops)


def rescored_by_epochs(program: Program, flow: Flow, site: Site) -> bool:
    """Return whether a loop over epochs contains both the scoring and the learning."""
    for loop in program.enclosing(site.node):
        if isinstance(loop, ast.For) and any(EPOCH_NAME.search(name) for name in names_in(loop.target)):
            times = (
                program.settings.value(loop.iter.args[-1])
                if isinstance(loop.iter, ast.Call) and loop.iter.args
                else None
            )
            if times != 1 and scoring_in(program, flow, site.scope, loop, site.node):
                return True
    return False


def scoring_in(program: Program, flow: Flow, scope: Scope, loop: ast.AST, before: ast.AST) -> bool:
    """Return whether a loop records a score without gradients above a place."""
    for node in ast.walk(loop):
        if not is_above(node, before):
            continue
        if (keeps_score(node) and is_gradient_free(program, node, scope)) or is_returned_sum(node, scope):
            return True
        scorers = (
            []
            if not isinstance(node, ast.Call)
            else [each for each in program.called(node) if is_scorer(program, each)]
        )
        if isinstance(node, ast.Call) and scorers:
            arguments = (*node.args, *(keyword.value for keyword in node.keywords))
            if any(flow.names[id(each)] for each in scorers) or any(flow.holds(each, scope) for each in arguments):
                return True
    return False


def is_above(node: ast.AST, other: ast.AST) -> bool:
    """Return whether a node ends before another begins."""
    end = (getattr(node, "end_lineno", None), getattr(node, "end_col_offset", None))
    begin = (getattr(other, "lineno", None), getattr(other, "col_offset", None))
    return None not in (*end, *begin) and end <= begin


def keeps_score(node: ast.AST) -> bool:
    """Return whether a statement records a score."""
    match node:
        case ast.AugAssign(target=target, value=value):
            return is_score(target) or is_score(value)
        case ast.Assign(targets=[ast.Subscript() as target], value=value):
            return is_score(target) or is_score(value)
        case ast.Call(func=ast.Attribute(attr="append" | "add_" | "copy_" | "extend" | "commit", value=holder)):
            return is_score(holder) or any(is_score(argument) for argument in node.args)
    return False


def is_returned_sum(node: ast.AST, scope: Scope) -> bool:
    """Return whether a statement adds to a detached sum that the function returns."""
    if not isinstance(node, ast.AugAssign) or not re.search(r"detach|item\(\)", ast.unparse(node.value)):
        return False
    kept = names_in(node.target)
    return any(isinstance(each, ast.Return) and names_in(each) & kept for each in scope.nodes)


def is_score(node: ast.AST) -> bool:
    return any(SCORE_NAME.search(name) for name in names_in(node))


def is_gradient_free(program: Program, node: ast.AST, scope: Scope) -> bool:
    """Return whether a node is inside no_grad or inference_mode."""
    around = [
        ast.unparse(item) for each in program.enclosing(node) if isinstance(each, ast.With) for item in each.items
    ]
    own = [] if isinstance(scope.node, ast.Module) else [ast.unparse(each) for each in scope.node.decorator_list]
    return any(GRADIENT_FREE.search(text) for text in (*around, *own))


def is_scorer(program: Program, scope: Scope) -> bool:
    """Return whether a function records or returns scores without gradients."""
    for node in scope.nodes:
        is_returned = isinstance(node, ast.Return) and node.value is not None and is_score(node.value)
        if (keeps_score(node) or is_returned) and is_gradient_free(program, node, scope):
            return True
    return False


def suspect_site(program: Program, site: Site, path: list[Site]) -> Suspicion:
    """Return the suspicion about a call path that learns without scoring first."""
    names = " ".join(each.scope.name for each in path).lower()
    through = " from ".join(each.scope.name for each in path if each.scope.name)
    where = f" in {through}" if through else ""
    if "warm" in names or any("warm" in name for name in names_in(site.learning)):
        message = f"a warm-up learns from validation text{where}"
        return suspect(program, path[-1].scope, path[-1].node, "NO-VAL-WARMUP", message, is_mild=True)
    if (additions := added_tensors(program, site)) and not packs_after(program, path):
        if any(TEMPERATURE.search(name) for name in additions) or is_scalar(program, site, additions):
            message = f"{', '.join(sorted(additions))} is fitted on validation scores{where}"
            return suspect(program, site.inner, site.learning, "NO-RESCORING-CALIBRATION", message)
        is_context = is_context_only(site)
        message = f"{', '.join(sorted(additions))} is optimised on validation text{where} before it is scored"
        if is_context:
            message += "; a mask seems to restrict it to earlier tokens"
        return suspect(program, site.inner, site.learning, "SLOT", message, is_mild=is_context)
    is_packed = packs_after(program, path)
    rule = "NO-PREQUANT-TTT" if is_packed else "C3-SCORE-FIRST"
    ending = "and are packed afterwards" if is_packed else "and no score is recorded before"
    message = f"weights learn from validation text{where}, {ending}"
    return replace(suspect(program, site.inner, site.learning, rule, message), reach=path_reach(program, path))


def packs_after(program: Program, path: list[Site]) -> bool:
    """Return whether anything on a call path is packed after the learning."""
    return any(
        is_above(each.node, node)
        for each in path
        for node in each.scope.nodes
        if isinstance(node, ast.Call) and leads_to_packing(program, node)
    )


def leads_to_packing(program: Program, node: ast.Call) -> bool:
    """Return whether a call packs a model or calls a function that does."""
    inside = (each for callee in program.called(node) for each in callee.nodes if isinstance(each, ast.Call))
    return is_packing(node) or (not UNPACKING.search(call_name(node)) and any(map(is_packing, inside)))


def is_packing(node: ast.Call) -> bool:
    """Return whether a call packs a model."""
    name = call_name(node)
    is_compressor = name == "compress" and isinstance(node.func, ast.Attribute)
    return is_compressor or (bool(PACKING.search(name)) and not UNPACKING.search(name))


def added_tensors(program: Program, site: Site) -> set[str]:
    """Return the tensors made near a learning place that its optimizer updates, other than the model's weights."""
    scopes = [site.inner]
    if not isinstance(site.inner.node, ast.Module):
        scopes.append(program.scope_of(site.inner.node))
    made: set[str] = set()
    for scope in scopes:
        for node in scope.nodes:
            if isinstance(node, ast.Assign) and makes_learned_tensor(node.value):
                made |= {name for target in node.targets for name in names_in(target)}
    made -= {"self"}
    used: set[str] = set()
    for scope in scopes:
        for node in scope.nodes:
            if isinstance(node, ast.Call) and (is_optimizer(node) or node is site.learning):
                used |= made & names_in(node)
            elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Sub):
                used |= made & names_in(node.target)
    return used


def is_scalar(program: Program, site: Site, names: set[str]) -> bool:
    """Return whether all of the learned tensors are single numbers."""
    made = [
        call
        for scope in (site.inner, program.scope_of(site.learning))
        for node in scope.nodes
        if isinstance(node, ast.Assign) and any(names_in(target) & names for target in node.targets)
        for call in ast.walk(node.value)
        if isinstance(call, ast.Call) and call_name(call) in FRESH - {"Parameter"}
    ]
    return bool(made) and all(
        len(call.args) == 1 and ast.unparse(call.args[0]) in ("()", "1", "[]", "(1,)") for call in made
    )


def makes_learned_tensor(node: ast.expr) -> bool:
    """Return whether an expression makes a tensor that will be learned."""
    calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
    return any(call_name(call) in FRESH for call in calls) and (
        "requires_grad" in ast.unparse(node) or any(call_name(call) == "Parameter" for call in calls)
    )


def is_optimizer(node: ast.Call) -> bool:
    """Return whether a call makes an optimizer."""
    return bool(re.fullmatch(r"(Adam|AdamW|SGD|LBFGS|RMSprop|Muon|Adagrad|NAdam|Lion)\w*", call_name(node)))


def find_closed_form_additions(program: Program) -> Iterator[Suspicion]:
    """Yield additions that learn from the targets of a window without an optimizer."""
    for scope in program.scopes:
        targets = target_names(scope)
        made: set[str] = set()
        derived = set(targets)
        for node in scope.nodes:
            if isinstance(node, ast.Assign):
                names = {name for target in node.targets for name in names_in(target)}
                if is_zeros(node.value) and any(isinstance(each, Loop) for each in program.enclosing(node)):
                    made |= names
                elif names_in(node.value) & derived:
                    derived |= names
            elif (
                isinstance(node, ast.AugAssign)
                and names_in(node.target) & made
                and names_in(node.value) & (derived - made)
                and "softmax" in ast.unparse(node.value)
            ):
                message = f"{ast.unparse(node.target)} moves towards the targets whose scores it is then added to"
                yield suspect(program, scope, node, "SLOT", message)


def is_zeros(node: ast.expr) -> bool:
    """Return whether an expression makes a tensor of zeros."""
    calls = (part for part in ast.walk(node) if isinstance(part, ast.Call))
    return any(call_name(call) in ("zeros", "zeros_like", "new_zeros") for call in calls)


def is_context_only(site: Site) -> bool:
    """Return whether the loss at a learning place seems to leave out the tokens that are scored after it."""
    return any(
        CONTEXT_ONLY.search(name)
        for node in site.inner.nodes
        for name in names_in(node)
        if isinstance(node, ast.Assign | ast.Return)
    )
