"""Finds the learned tensors that a script's model classes declare."""

import ast
from collections.abc import Iterator

from pgolf.drafting.counting.model_code import ScriptModel, is_other
from pgolf.scripts.program import ScriptProgram

MAKERS = ("Parameter", "Linear", "Embedding")


def learned_names(program: ScriptProgram, model: ScriptModel | None) -> dict[str, str]:
    """Return the paths of the model's tensors and `class.attribute` of others, in lower case, with their places.

    Others are those that the model does not have with its values. A tensor is learned if its value is made by
    nn.Parameter, or by a class named like nn.Linear or nn.Embedding.
    """
    counted = {} if model is None else {tensor.path.lower(): tensor.place for tensor in model.tensors}
    return counted | {
        f"{node.name}.{name}".lower(): f"{file}:{line}"
        for file, tree in program.trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not is_other(node.name)
        for name, line in learned_attributes(node)
    }


def learned_attributes(node: ast.ClassDef) -> Iterator[tuple[str, int]]:
    """Yield the attributes of `self` to which a class assigns learned tensors, with their lines."""
    for each in ast.walk(node):
        match each:
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Attribute(attr=name), value=ast.expr() as value):
                pass
            case _:
                continue
        if any(isinstance(part, ast.Call) and makes_tensor(part.func) for part in ast.walk(value)):
            yield name, each.lineno


def makes_tensor(function: ast.expr) -> bool:
    """Return whether a call of this function makes a learned tensor."""
    name = (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
    return name.endswith(MAKERS)
