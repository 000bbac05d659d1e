"""Which trainer modules a recipe needs, found in their text; and their hash and bytes.

Every slot resolves its kind in one `match`, whose cases import what they return. A case for a component that the
recipe does not name is not followed, so brotli's module is no part of a recipe that packs with zlib; nor is the body
of an `if` that asks for a published quirk which the recipe does not name, for another word of `compute` than it has, or
for the numbers of documents where attention is not kept within them.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import trainer
from trainer.recipe.loader import DocumentPacking
from trainer.recipe.local import local_codes
from trainer.recipe.recipe import Recipe

ROOT = "trainer.command"
QUIRK = "published_"
TRAINER = Path(trainer.__file__).parent


@dataclass(frozen=True, slots=True)
class TrainerCode:
    """The modules a recipe reaches."""

    modules: tuple[str, ...]
    """Dotted names, sorted."""
    sha256: str
    """Of names and contents."""
    libraries: tuple[str, ...]
    """Packages beside the standard library that they import, sorted."""


def trainer_code(recipe: Recipe) -> TrainerCode:
    """The code that this recipe runs."""
    used = names_in_use(recipe)
    trees = reachable(ROOT, used)
    files = {name: module_file(name) for name in sorted(trees)}
    files |= {f"local.{code.class_name}": Path(code.file) for code in local_codes(recipe)}
    contents = [file.read_bytes() for file in files.values()]
    digest = hashlib.sha256()
    for name, content in zip(files, contents, strict=True):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    libraries = {library for tree in trees.values() for library in imported_libraries(tree, used)}
    return TrainerCode(tuple(files), digest.hexdigest(), tuple(sorted(libraries)))


def components(value: Any) -> Iterator[Any]:
    """Every dataclass instance inside a recipe, itself included."""
    if is_dataclass(value):
        yield value
        for field in fields(value):
            yield from components(getattr(value, field.name))
    elif isinstance(value, dict | tuple):
        for member in value.values() if isinstance(value, dict) else value:
            yield from components(member)


def names_in_use(recipe: Recipe) -> set[str]:
    """Names of the recipe's components, and of its published quirks."""
    used = set()
    for component in components(recipe):
        used.add(type(component).__name__)
        used |= {f.name for f in fields(component) if f.name.startswith(QUIRK) and getattr(component, f.name)}
    return used | {compute_word(f.name, getattr(recipe.compute, f.name)) for f in fields(recipe.compute)}


def compute_word(field: str, word: str) -> str:
    """What stands among the names in use for a word of `compute`."""
    return f"compute.{field} == {word}"


def asked_word(node: ast.AST) -> str | None:
    """The word that `SOMETHING.compute.FIELD == "WORD"` asks for, if a node is that."""
    match node:
        case ast.Compare(
            left=ast.Attribute(value=ast.Attribute(attr="compute"), attr=field),
            ops=[ast.Eq()],
            comparators=[ast.Constant(value=str(word))],
        ):
            return compute_word(field, word)
    return None


def asks_for_unnumbered_documents(node: ast.AST, used: set[str]) -> bool:
    """Whether a node asks for the numbers of documents, and the recipe's loader numbers none."""
    match node:
        case ast.Compare(left=ast.Name(id="documents_BT"), ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
            return DocumentPacking.__name__ not in used
    return False


def reachable(root: str, used: set[str]) -> dict[str, ast.Module]:
    """Syntax trees, by name, of the modules that `root` imports, directly or not, itself included."""
    found: dict[str, ast.Module] = {}
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = ast.parse(module_file(name).read_bytes(), name)
            waiting += [module for module in imported(found[name], used) if module.startswith("trainer.")]
    return found


def imported_libraries(tree: ast.Module, used: set[str]) -> Iterator[str]:
    """Packages that are neither the trainer nor the standard library."""
    for module in imported(tree, used):
        package = module.partition(".")[0]
        if package != "trainer" and package not in sys.stdlib_module_names:
            yield package


def imported(node: ast.AST, used: set[str]) -> Iterator[str]:
    """Modules imported below a node, without those in branches that this recipe cannot enter."""
    if isinstance(node, ast.ImportFrom):
        yield str(node.module)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if not is_excluded(node, used):
        for child in ast.iter_child_nodes(node):
            yield from imported(child, used)


def is_excluded(node: ast.AST, used: set[str]) -> bool:
    """Whether a branch is for a recipe component, or for a published quirk, that is not in use."""
    match node:
        case ast.match_case(pattern=ast.MatchClass(cls=ast.Name(id=name))):
            return name not in used
        case ast.If(test=test, orelse=[]):
            quirks = {n.attr for n in ast.walk(test) if isinstance(n, ast.Attribute) and n.attr.startswith(QUIRK)}
            parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
            words = {word for part in parts if (word := asked_word(part)) is not None}
            is_in_vain = any(asks_for_unnumbered_documents(part, used) for part in parts)
            return (bool(quirks) and not quirks & used) or not words <= used or is_in_vain
    return False


def module_file(name: str) -> Path:
    """The source of a trainer module."""
    return TRAINER.joinpath(*name.split(".")[1:]).with_suffix(".py")
