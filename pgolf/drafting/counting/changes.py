"""Code that is not followed: whether it may change the tensors of modules."""

import ast
from collections.abc import Iterator, Set

from pgolf.drafting.counting.bindings import root_name
from pgolf.drafting.counting.objects import External, ScriptFunction
from pgolf.drafting.counting.torch_modules import WITHOUT_TENSORS

FUNCTIONAL = ("torch.nn.functional", "torch.nn.init", "torch.nn.attention")
CHANGING = ("setattr", "delattr", "append", "extend", "insert", "update", "pop", "add_module", "register_parameter",
            "register_module", "Parameter", "exec", "eval")  # fmt: skip
CALM = ("isinstance", "hasattr", "getattr", "len", "range", "print", "enumerate", "int", "float", "min", "max", "zip",
        "abs", "sqrt", "log")  # fmt: skip


def changes_modules(function: ScriptFunction | External) -> bool:
    """Return whether a function that is applied to all modules may add or remove tensors."""
    if isinstance(function, External):
        return not function.path.startswith(FUNCTIONAL)
    return may_change_modules(function.node)


def changing_calls(code: ast.AST, names: Set[str]) -> Iterator[ast.AST]:
    """Yield where code changes the tensors of the modules with these names."""
    for part in ast.walk(code):
        match part:
            case ast.Assign(targets=[ast.Attribute(attr=attribute) as target], value=value):
                is_number = isinstance(value, ast.Constant | ast.BinOp | ast.Compare) and ast.unparse(value) != "None"
                if root_name(target) in names and attribute not in ("data", "grad", "requires_grad") and not is_number:
                    yield part
            case ast.Delete(targets=[ast.Attribute() as target]) if root_name(target) in names:
                yield part
            case ast.Call(func=ast.Attribute(value=owner, attr=method)) if root_name(owner) in names:
                if method in CHANGING:
                    yield part
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[owner, *_]) if root_name(owner) in names:
                yield part


def may_change_modules(node: ast.AST) -> bool:
    """Return whether code that is not run may add or remove tensors of modules."""
    for part in ast.walk(node):
        match part:
            case ast.Call(func=ast.Attribute(value=owner, attr=name)):
                is_nn = ast.unparse(owner) in ("nn", "torch.nn")
                if name in CHANGING or (is_nn and name not in WITHOUT_TENSORS and name not in ("init", "functional")):
                    return True
            case ast.Call(func=ast.Name(id=name)) if name not in CALM:
                return True
            case ast.Assign(targets=targets, value=value) if any(isinstance(each, ast.Attribute) for each in targets):
                if not isinstance(value, ast.Constant | ast.BinOp | ast.Compare | ast.JoinedStr):
                    return True
            case ast.Delete():
                return True
    return False
