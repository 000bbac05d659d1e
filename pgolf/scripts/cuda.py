"""Where a script fails on a machine without a CUDA device. Its text is read; nothing is executed."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pgolf.scripts.flow import Flow, within_scope
from pgolf.scripts.unwrapping import ConstantEvaluator

AVAILABLE = "torch.cuda.is_available"
# Functions of torch.cuda that initialize CUDA. Others, such as manual_seed_all and empty_cache, do nothing without it.
INITIALIZING = frozenset(
    f"torch.cuda.{name}"
    for name in ("set_device", "synchronize", "current_device", "current_stream", "get_device_name",
                 "get_device_properties", "get_device_capability", "mem_get_info", "init")
)  # fmt: skip
# Functions of torch that make a tensor on the device they are given.
FACTORIES = frozenset(
    f"torch.{name}"
    for name in ("arange", "empty", "eye", "full", "linspace", "ones", "rand", "randint", "randn", "randperm", "tensor",
                 "zeros", "Generator")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CudaDemand:
    """A place where a script needs a CUDA device."""

    source: str
    """The demand as it is written, on one line."""
    place: str
    is_certain: bool
    """Whether this place is surely reached; else it may be."""


def cuda_demand(name: str, flow: Flow) -> CudaDemand | None:
    """Return the first place where a file surely needs CUDA, else where it may; None if it may run without.

    A script that asks somewhere whether CUDA is available and goes on without it, or names the CPU as a device, is
    believed to run without CUDA unless it surely reaches a place that needs it.
    """
    finder = DemandFinder(name, flow)
    certain = next(finder.demands(flow.certain.values()), None)
    if certain is not None:
        return CudaDemand(certain.source, certain.place, is_certain=True)
    return None if finder.has_branch_without_cuda() else next(finder.demands(ast.walk(flow.tree)), None)


class DemandFinder:
    """Finds the demands of one file."""

    def __init__(self, name: str, flow: Flow) -> None:
        self.name, self.flow = name, flow
        self.evaluator = ConstantEvaluator(flow.tree)
        self.own_methods = {node.name for node in ast.walk(flow.tree) if isinstance(node, ast.FunctionDef)}
        self.parameters = {
            each.arg
            for node in ast.walk(flow.tree)
            if isinstance(node, ast.arguments)
            for each in (*node.posonlyargs, *node.args, *node.kwonlyargs)
        }

    def demands(self, nodes: Iterable[ast.AST]) -> Iterator[CudaDemand]:
        """Yield the demands among some nodes; those whose failure may be caught are left out."""
        for node in nodes:
            if isinstance(node, ast.stmt | ast.expr) and self.is_demand(node) and not self.flow.handlers[id(node)]:
                source = ast.unparse(node.test if isinstance(node, ast.If | ast.Assert) else node)
                yield CudaDemand(source.splitlines()[0][:80], f"{self.name}:{node.lineno}", is_certain=False)

    def is_demand(self, node: ast.AST) -> bool:
        """Return whether a statement or a call fails without CUDA."""
        match node:
            case ast.If(test=ast.UnaryOp(op=ast.Not(), operand=test), body=body):
                return self.is_available(test) and any(map(is_failure, body))
            case ast.Assert(test=test):
                return self.is_available(test)
            case ast.Call(func=ast.Attribute(attr="cuda"), args=arguments) if len(arguments) < 2:
                return "cuda" not in self.own_methods and not self.qualified(node.func).startswith("torch.")
            case ast.Call(func=ast.Attribute(attr="to"), args=[device, *_]):
                return self.is_cuda(device)
            case ast.Call(func=function, args=arguments, keywords=keywords):
                named = {each.arg: each.value for each in keywords}
                match self.qualified(function):
                    case "torch.distributed.init_process_group":
                        backend = arguments[0] if arguments else named.get("backend")
                        return isinstance(backend, ast.Constant) and backend.value == "nccl"
                    case called if called in INITIALIZING:
                        return True
                    case called if called in FACTORIES:
                        return "device" in named and self.is_cuda(named["device"])
        return False

    def qualified(self, function: ast.expr) -> str:
        """Return a function's dotted name, with import aliases resolved."""
        return self.evaluator.qualified_name(function)

    def is_available(self, test: ast.expr) -> bool:
        """Return whether an expression asks whether CUDA is available."""
        return isinstance(test, ast.Call) and self.qualified(test.func) == AVAILABLE

    def is_cuda(self, device: ast.expr) -> bool:
        """Return whether an expression is a CUDA device whatever the machine has."""
        match device:
            case ast.Constant(value=str() as text):
                return text.startswith("cuda")
            case ast.JoinedStr(values=[ast.Constant(value=str() as text), *_]):
                return text.startswith("cuda:")
            case ast.Call(func=function, args=[kind, *_]) if self.qualified(function) == "torch.device":
                return self.is_cuda(kind)
            case ast.Name(id=name) if name not in self.parameters:
                given = self.evaluator.names.get(name, [])
                return len(given) == 1 and not isinstance(given[0], ast.Name) and self.is_cuda(given[0])
        return False

    def has_branch_without_cuda(self) -> bool:
        """Return whether a script seems to have a way to run without CUDA."""
        refusing = [
            node.test.operand if isinstance(node, ast.If) and isinstance(node.test, ast.UnaryOp) else node.test
            for node in ast.walk(self.flow.tree)
            if isinstance(node, ast.If | ast.Assert) and self.is_demand(node)
        ]
        inner = {id(each) for each in refusing}
        for node in ast.walk(self.flow.tree):
            if isinstance(node, ast.Call) and self.is_available(node) and id(node) not in inner:
                return True
            if isinstance(node, ast.keyword) and node.arg == "map_location":
                inner |= {id(each) for each in ast.walk(node)}
            if isinstance(node, ast.Constant) and node.value in ("cpu", "gloo", "mps") and id(node) not in inner:
                return True
        return False


def is_failure(statement: ast.stmt) -> bool:
    """Return whether a statement raises, or exits with a code other than 0."""
    if isinstance(statement, ast.Raise):
        return True
    for node in within_scope(statement) if isinstance(statement, ast.Expr) else ():
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "exit", "quit"):
            return bool(node.args) and not (isinstance(node.args[0], ast.Constant) and node.args[0].value in (0, None))
    return False
