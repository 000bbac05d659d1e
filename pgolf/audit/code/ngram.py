"""Signatures of n-gram tables that are looked up by a key which contains the target."""

import ast
import re
from collections.abc import Iterator

from pgolf.audit.code.flow import names_in
from pgolf.audit.code.program import Program, Scope, call_name
from pgolf.audit.code.suspicion import Suspicion, suspect
from pgolf.audit.code.targets import assignments, forwarded_names, reads_target, shifted_positions, target_names

WHOLE_VOCABULARY = re.compile(r"arange|vocab|cand(idate)?s?|all_tok")
MIXING = (ast.BitXor, ast.Mult, ast.Add, ast.LShift, ast.BitOr)
LOOKUPS = {"take", "gather", "index_select", "get", "lookup", "query"}
COUNTING = {"add_", "index_add_", "scatter_add_", "at", "bincount", "index_put_", "update", "setdefault"}
CONTEXT = re.compile(r"ctx|context|hist|prev|prefix|key")
CASTS = {"np", "torch", "astype", "uint64", "int64", "long", "to"}


def find_target_keys(program: Program) -> Iterator[Suspicion]:
    """Yield lookups by a key that contains the target."""
    hashers = hashing_functions(program)
    makers = {scope.name for scope in program.scopes if scope.name and returns_key(scope, hashers)}
    for scope in program.scopes:
        keys = TargetKeys(scope, hashers, makers)
        for node in scope.nodes if keys.is_needed else ():
            index = looked_up(program, node)
            if index is not None and (names_in(index) & keys.names or keys.is_key(index)):
                message = f"`{ast.unparse(node)[:80]}` is looked up by a key that contains the target"
                yield suspect(program, scope, node, "NGRAM-TARGET-KEY", message)
                break


def hashing_functions(program: Program) -> set[str]:
    """Return the names of functions that hash two or more of their parameters into one number."""
    found: set[str] = set()
    for scope in program.scopes:
        for node in scope.nodes:
            value = node.value if isinstance(node, ast.Return) else None
            if value is None or len(names_in(value) & {*scope.parameters}) < 2:
                continue
            if any(isinstance(part, ast.BinOp) and isinstance(part.op, ast.BitXor) for part in ast.walk(value)):
                found.add(scope.name)
    return found


def returns_key(scope: Scope, hashers: set[str]) -> bool:
    """Return whether a function returns a hash that includes the target."""
    keys = TargetKeys(scope, hashers, set())
    returned = [node.value for node in scope.nodes if isinstance(node, ast.Return) and node.value is not None]
    parts = [part for value in returned for part in (value.elts if isinstance(value, ast.Tuple) else [value])]
    return keys.is_needed and any(names_in(part) & keys.names for part in parts)


class TargetKeys:
    """The names of a function that hold a hash of the target together with other values."""

    def __init__(self, scope: Scope, hashers: set[str], makers: set[str]) -> None:
        self.hashers, self.makers = hashers, makers
        self.targets, self.places = target_names(scope), shifted_positions(scope)
        self.names: set[str] = set()
        for _ in range(3 if self.is_needed else 0):
            for target, value in assignments(scope):
                if self.is_key(value):
                    self.names |= {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
            for node in scope.nodes:
                if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and self.is_mixed_in(node):
                    self.names.add(node.target.id)

    @property
    def is_needed(self) -> bool:
        """Return whether the function can have such a hash: it has targets, or calls a function that makes keys."""
        return bool(self.targets or self.places or self.makers)

    def is_mixed_in(self, node: ast.AugAssign) -> bool:
        """Return whether a statement mixes the target into a hash, as in `h ^= target * prime`."""
        is_hash = isinstance(node.target, ast.Name) and re.search(r"key|hash|idx|slot|^h|h$", node.target.id)
        return bool(is_hash) and isinstance(node.op, MIXING) and reads_target(node.value, self.targets, self.places)

    def is_key(self, node: ast.expr) -> bool:
        """Return whether an expression hashes the target with its context or passes on such a hash."""
        if WHOLE_VOCABULARY.search(" ".join(names_in(node))):
            return False
        if isinstance(node, ast.Call) and call_name(node) in self.makers:
            return True
        return bool(forwarded_names(node) & self.names) or any(map(self.is_hash, ast.walk(node)))

    def is_hash(self, node: ast.AST) -> bool:
        """Return whether a node combines the target and other values into one number."""
        match node:
            case ast.BinOp(op=ast.BitXor() | ast.Mod() | ast.BitAnd() | ast.LShift() | ast.RShift() | ast.BitOr()):
                return bool(names_in(node) & self.names) or self.holds_both(node)
            case ast.Call(func=ast.Attribute(attr="remainder" | "bitwise_xor" | "bitwise_and" | "fmod")):
                is_computed = any(isinstance(part, ast.BinOp) for part in ast.walk(node))
                return bool(names_in(node) & self.names) or (is_computed and self.holds_both(node))
            case ast.Call(args=[_, *_]) if re.search(r"hash|key", name := call_name(node)) or name in self.hashers:
                return self.holds_both(ast.Tuple(list(node.args), ast.Load()))
            case ast.Tuple(ctx=ast.Load()):
                return any(map(CONTEXT.search, names_in(node))) and self.holds_both(node)
        return False

    def holds_both(self, node: ast.AST) -> bool:
        """Return whether a node holds the target and other values."""
        others = names_in(node) - self.targets - self.places - CASTS
        return bool(others) and reads_target(node, self.targets, self.places)


def looked_up(program: Program, node: ast.AST) -> ast.expr | None:
    """Return the index of a lookup whose result is read and not only counted; None for other nodes."""
    around = next((each for each in program.enclosing(node) if isinstance(each, ast.Call | ast.stmt)), None)
    if isinstance(around, ast.Call) and call_name(around) in COUNTING:
        return None
    match node:
        case ast.Subscript(ctx=ast.Load(), slice=index) if not isinstance(index, ast.Slice):
            return index
        case ast.Call(func=ast.Attribute(attr="get"), args=[index, *_]):
            return index
        case ast.Call(func=ast.Attribute(attr=name), args=[*_, index]) if name in LOOKUPS:
            return index
    return None
