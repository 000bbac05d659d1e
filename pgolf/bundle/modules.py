"""Finds the trainer modules that a recipe needs, by reading their source, and hashes them.

Every slot resolves its kind in one `match`, whose cases import what they return. Branches that the recipe cannot enter
are not followed, so brotli's module is not part of a recipe that packs with zlib. These are: a case for a component
that the recipe does not name, and the body of an `if` that tests for a published quirk or a value of `compute` that
the recipe does not have, or for segments when its loader makes none.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import trainer
from pgolf.bundle.cache import read_cached
from trainer.recipe.loader import DocumentPacking, DocumentRows
from trainer.recipe.local import local_codes
from trainer.recipe.recipe import Recipe

ROOT = "trainer.command"
QUIRK = "published_"
# Fields whose code a recipe does not reach where they are false or 0, besides published quirks.
# Nothing else in the trainer has an attribute of such a name, except for what a recipe's field is copied to.
SWITCHES = frozenset({
    "affine", "asymmetric_softcap", "clip_each_pass", "decay_after_update", "depth_scale", "fill_bytes", "fit_bytes",
    "from_initial", "gates", "loop_aware", "row_normalized", "skips_into_first_lane", "transform", "value_residual",
})  # fmt: skip
TRAINER = Path(trainer.__file__).parent


@dataclass(frozen=True, slots=True)
class TrainerCode:
    """The trainer code that a recipe runs."""

    modules: tuple[str, ...]
    """Dotted names, sorted."""
    sha256: str
    """Hash of names and contents."""
    libraries: tuple[str, ...]
    """Third-party packages that the modules import, sorted."""


def trainer_code(recipe: Recipe) -> TrainerCode:
    """Return the trainer code that this recipe runs."""
    used = names_in_use(recipe)
    found = json.loads(read_cached(reachability_key(used), lambda: json.dumps(find_reachable(used)).encode()))
    files = {name: module_file(name) for name in found["modules"]}
    files |= {f"local.{code.class_name}": Path(code.file) for code in local_codes(recipe)}
    contents = [file.read_bytes() for file in files.values()]
    digest = hashlib.sha256()
    for name, content in zip(files, contents, strict=True):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return TrainerCode(tuple(files), digest.hexdigest(), tuple(found["libraries"]))


def find_reachable(used: set[str]) -> dict[str, list[str]]:
    """Return the modules and libraries that a recipe with these names in use reaches."""
    trees = reachable_modules(ROOT, used)
    libraries = {library for tree in trees.values() for library in imported_libraries(tree, used)}
    return {"modules": sorted(trees), "libraries": sorted(libraries)}


def reachability_key(used: set[str]) -> str:
    """Return the cache key of what `find_reachable` finds: everything that determines it."""
    return json.dumps((sys.version, Path(__file__).read_text(), trainer_sources(), sorted(used)))


def trainer_sources() -> list[tuple[str, str]]:
    """Return path and text of every file of the trainer, sorted."""
    return [(str(file.relative_to(TRAINER)), file.read_text()) for file in sorted(TRAINER.rglob("*.py"))]


def components(value: Any) -> Iterator[Any]:
    """Yield every dataclass instance inside a recipe, itself included."""
    if is_dataclass(value):
        yield value
        for field in fields(value):
            yield from components(getattr(value, field.name))
    elif isinstance(value, dict | tuple):
        for member in value.values() if isinstance(value, dict) else value:
            yield from components(member)


def names_in_use(recipe: Recipe) -> set[str]:
    """Return the names of the recipe's components and switches that are on, and its `compute` conditions."""
    used = set()
    for component in components(recipe):
        used |= {kind.__name__ for kind in type(component).__mro__ if is_dataclass(kind)}
        used |= {f.name for f in fields(component) if is_switch(f.name) and getattr(component, f.name)}
    if recipe.compute.attention == "measured":  # which may find that this one is the fastest
        used.add(compute_condition("attention", "flash_attn"))
    return used | {compute_condition(f.name, getattr(recipe.compute, f.name)) for f in fields(recipe.compute)}


def is_switch(field: str) -> bool:
    """Return whether code behind a field of a recipe is not reached where the field is false or 0."""
    return field.startswith(QUIRK) or field in SWITCHES


def compute_condition(field: str, value: str) -> str:
    """Return how the names in use express a value of `compute`."""
    return f"compute.{field} == {value}"


def tested_condition(node: ast.AST) -> str | None:
    """Return the condition of a comparison `SOMETHING.compute.FIELD == "VALUE"`, or None for any other node."""
    match node:
        case ast.Compare(
            left=ast.Attribute(value=ast.Attribute(attr="compute"), attr=field),
            ops=[ast.Eq()],
            comparators=[ast.Constant(value=str(value))],
        ):
            return compute_condition(field, value)
    return None


def is_false_segment_test(node: ast.AST, used: set[str]) -> bool:
    """Return whether a node is a test for segments that fails because the recipe's loader makes none."""
    match node:
        case ast.Compare(left=ast.Name(id="segments"), ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
            return not used & {DocumentPacking.__name__, DocumentRows.__name__}
    return False


def reachable_modules(root: str, used: set[str]) -> dict[str, ast.Module]:
    """Return the syntax trees, by name, of `root` and of all modules that it imports directly or indirectly."""
    found: dict[str, ast.Module] = {}
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = ast.parse(module_file(name).read_bytes(), name)
            waiting += [module for module in imported_modules(found[name], used) if module.startswith("trainer.")]
    return found


def imported_libraries(tree: ast.Module, used: set[str]) -> Iterator[str]:
    """Yield the imported packages that are neither the trainer nor in the standard library."""
    for module in imported_modules(tree, used):
        package = module.partition(".")[0]
        if package != "trainer" and package not in sys.stdlib_module_names:
            yield package


def imported_modules(node: ast.AST, used: set[str]) -> Iterator[str]:
    """Yield the modules imported below a node, except in branches that this recipe cannot enter."""
    if isinstance(node, ast.ImportFrom):
        yield str(node.module)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    children = ast.iter_child_nodes(node)
    if is_excluded(node, used):
        children = iter(node.orelse if isinstance(node, ast.If) else ())
    for child in children:
        if isinstance(child, ast.stmt | ast.match_case | ast.excepthandler):  # expressions import nothing
            yield from imported_modules(child, used)


def is_excluded(node: ast.AST, used: set[str]) -> bool:
    """Return whether a node is a branch that this recipe cannot enter."""
    match node:
        case ast.match_case(pattern=ast.MatchClass(cls=ast.Name(id=name))):
            return name not in used
        case ast.If(test=test):
            switches = {n.attr for n in ast.walk(test) if isinstance(n, ast.Attribute) and is_switch(n.attr)}
            parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
            conditions = {condition for part in parts if (condition := tested_condition(part)) is not None}
            has_false_segment_test = any(is_false_segment_test(part, used) for part in parts)
            return (bool(switches) and not switches & used) or not conditions <= used or has_false_segment_test
    return False


def module_file(name: str) -> Path:
    """Return the source file of a trainer module."""
    return TRAINER.joinpath(*name.split(".")[1:]).with_suffix(".py")
