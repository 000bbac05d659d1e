"""Resolves paths in a spec against the folder of the file that contains them."""

from dataclasses import replace
from pathlib import Path

from pgolf.errors import SpecError
from pgolf.specs.yaml_documents import Node


def absolute_paths(document: Node, folder: Path) -> Node:
    """Return the document with all paths, also those in overlays, resolved against a folder."""
    overlays = document.value.get("overlays")
    if overlays is not None and isinstance(overlays.value, dict):
        blocks = {
            name: absolute_paths(block, folder) if isinstance(block.value, dict) else block
            for name, block in overlays.value.items()
        }
        document = replace_member(document, "overlays", replace(overlays, value=blocks))
    document = own_code_paths(document, folder)
    match document.value:
        case {"recipe": Node(value={"data": Node(value={"folder": Node(value=str() as written) as node})})}:
            node = replace(node, value=str((folder / written).resolve()))
            data = replace_member(document.value["recipe"].value["data"], "folder", node)
            return replace_member(document, "recipe", replace_member(document.value["recipe"], "data", data))
    return document


def own_code_paths(document: Node, folder: Path) -> Node:
    """Return the document with the paths of local components and of a script resolved against a folder.

    Raises:
        SpecError: a component's file or class is missing.
    """
    return resolve_program(expand_local_kinds(document, folder), folder)


def resolve_program(document: Node, folder: Path) -> Node:
    """Return the document with the paths of a script, its files and its data resolved against a folder."""
    program = document.value.get("program")
    if program is None or not isinstance(program.value, dict):
        return document
    for key in ("path", "files", "data"):
        if key in program.value:
            program = replace_member(program, key, resolve(program.value[key], folder))
    return replace_member(document, "program", program)


def resolve(node: Node, folder: Path) -> Node:
    """Resolve a path, or a list of paths, against a folder; leave any other value unchanged."""
    if isinstance(node.value, list):
        return replace(node, value=[resolve(each, folder) for each in node.value])
    return replace(node, value=str((folder / node.value).resolve())) if isinstance(node.value, str) else node


def expand_local_kinds(document: Node, folder: Path) -> Node:
    """Replace each `kind: local:FILE.py:CLASS` by `kind`, `file` and `class_name`, with resolved paths.

    Raises:
        SpecError: file or class is missing.
    """
    if not isinstance(document.value, dict):
        return document
    members = {key: expand_local_kinds(member, folder) for key, member in document.value.items()}
    document = replace(document, value=members)
    kind = members.get("kind")
    if kind is None or not isinstance(kind.value, str):
        return document
    if kind.value == "local" and isinstance((file := members.get("file", kind)).value, str):
        return replace_member(document, "file", replace(file, value=str((folder / file.value).resolve())))
    if not kind.value.startswith("local:"):
        return document
    file_name, _, class_name = kind.value.removeprefix("local:").rpartition(":")
    if not file_name.endswith(".py") or not class_name.isidentifier():
        raise SpecError(f"{kind.place}: kind: found {kind.value!r}, expected local:FILE.py:CLASS")
    path = (folder / file_name).resolve()
    if not path.is_file():
        raise SpecError(f"{kind.place}: kind: {path} does not exist")
    named = {"kind": "local", "file": str(path), "class_name": class_name}
    return replace(document, value=members | {key: replace(kind, value=value) for key, value in named.items()})


def replace_member(mapping: Node, key: str, member: Node) -> Node:
    return replace(mapping, value=mapping.value | {key: member})
