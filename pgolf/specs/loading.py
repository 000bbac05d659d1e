"""From a name or a file to a valid spec, of a recipe or of a script."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

import pgolf
from pgolf.errors import SpecError
from pgolf.specs.complaints import explain_errors, sources
from pgolf.specs.experiment import Experiment, ExperimentSpec
from pgolf.specs.merging import merge, parse_assignment
from pgolf.specs.script import ScriptSpec
from pgolf.specs.script_checks import check_script
from pgolf.specs.suggestions import nearest
from pgolf.specs.yaml_documents import Node, describe_value, read_yaml

# Beside the package both in a checkout and in site-packages.
SHIPPED = Path(pgolf.__file__).parent.parent / "experiments"

AnySpec = ExperimentSpec | ScriptSpec
S_co = TypeVar("S_co", bound=Experiment, covariant=True)


@dataclass(frozen=True, slots=True)
class LoadedSpec(Generic[S_co]):
    """A spec and how it came about."""

    spec: S_co
    file: Path
    sources: dict[str, str]
    """file:line of each value that was written; a key that is not here has its default."""
    overlays: dict[str, Any]
    """The spec's own overlays, for whoever builds on a run of it."""

    @property
    def origin(self) -> dict[str, Any]:
        """What spec.json keeps beside the resolved values."""
        return {"sources": self.sources, "overlays": self.overlays}


Recipes = LoadedSpec[ExperimentSpec]
Loaded = LoadedSpec[AnySpec]


def load_spec(reference: str, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> Recipes:
    """The spec of a recipe that a reference names, with overlays and assignments on top, in this order.

    Raises: SpecError with file:line, also for a spec of a script.
    """
    return with_recipe(load_any(reference, overlays, assignments))


def load_spec_of_run(spec_json: Path, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> Recipes:
    """The spec that a recipe's run was made from, with overlays and assignments on top.

    Raises: SpecError with file:line, also for a script's run.
    """
    return with_recipe(load_any_of_run(spec_json, overlays, assignments))


def with_recipe(loaded: Loaded) -> Recipes:
    """The same, of a spec that has a recipe.

    Raises: SpecError for one that runs a script.
    """
    if isinstance(loaded.spec, ScriptSpec):
        raise SpecError(f"{loaded.file}: {loaded.spec.name} runs a script; this needs a spec with a recipe")
    return LoadedSpec(loaded.spec, loaded.file, loaded.sources, loaded.overlays)


def load_any(reference: str, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> Loaded:
    """The spec that a reference names, be it of a recipe or of a script, with overlays and assignments on top.

    Raises: SpecError with file:line.
    """
    file = find_spec(reference)
    return compose(read_with_base(file), file, overlays, assignments)


def load_any_of_run(spec_json: Path, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> Loaded:
    """The spec that a run was made from, with overlays and assignments on top.

    Raises: SpecError with file:line.
    """
    document = read_yaml(spec_json)  # JSON is YAML, and so its values have lines as well
    for key in ("seed", "sources"):
        document.value.pop(key, None)
    return compose(own_code_paths(document, spec_json.parent), spec_json, overlays, assignments)


def compose(document: Node, file: Path, overlays: Sequence[str], assignments: Sequence[str]) -> Loaded:
    """The spec of a document once overlays and assignments are on top of it."""
    own_overlays = document.value.pop("overlays", None)
    if own_overlays is not None and not isinstance(own_overlays.value, dict):
        found = describe_value(own_overlays.value)
        raise SpecError(f"{own_overlays.place}: overlays: found {found}, expected a mapping of named changes")
    for overlay in overlays:
        document = merge(document, find_overlay(overlay, own_overlays, file))
    for assignment in assignments:
        document = merge(document, absolute_paths(parse_assignment(assignment), Path.cwd()))
    return LoadedSpec(validate(document), file, sources(document), own_overlays.plain() if own_overlays else {})


def validate(document: Node) -> AnySpec:
    """The spec that a document is.

    Raises: SpecError with file:line.
    """
    program = document.value.get("program")
    if program is not None and "recipe" in document.value:
        raise SpecError(f"{program.place}: program takes the place of a recipe, and there is one; drop one of them")
    kind = ExperimentSpec if program is None else ScriptSpec
    try:
        spec = kind.model_validate(document.plain())
    except ValidationError as error:
        raise SpecError(explain_errors(error, document)) from None
    if isinstance(spec, ScriptSpec):
        check_script(spec, document)
    return spec


def find_spec(reference: str) -> Path:
    """The file of a spec: a path, or the name of a shipped experiment.

    Raises: SpecError naming the nearest shipped experiment.
    """
    path = Path(reference)
    if "/" in reference or path.suffix in (".yaml", ".yml") or path.exists():
        return path
    shipped = shipped_specs()
    if reference in shipped:
        return shipped[reference]
    close = nearest(reference, list(shipped))
    hint = f"did you mean `{close}`?" if close else f"shipped are {', '.join(shipped)}"
    raise SpecError(f"{reference}: no such file and no shipped experiment; {hint}")


def shipped_specs() -> dict[str, Path]:
    """Shipped experiments by name."""
    files = (file for file in sorted(SHIPPED.rglob("*.yaml")) if file.parent.name != "overlays")
    return {file.stem: file for file in files}


def read_with_base(file: Path) -> Node:
    """The document of a file on top of the one it extends.

    Raises: SpecError when the base itself extends another.
    """
    document = absolute_paths(read_yaml(file), file.parent)
    base = document.value.pop("extends", None)
    if base is None:
        return document
    if not isinstance(base.value, str):
        raise SpecError(f"{base.place}: extends: found {describe_value(base.value)}, expected the name of one spec")
    is_file = "/" in base.value or base.value.endswith((".yaml", ".yml"))
    base_file = file.parent / base.value if is_file else find_spec(base.value)
    below = absolute_paths(read_yaml(base_file), base_file.parent)
    if "extends" in below.value:
        raise SpecError(f"{base.place}: {base.value} itself extends another spec; one step is allowed")
    return merge(below, document)


def find_overlay(name: str, own: Node | None, file: Path) -> Node:
    """The overlay of a --with argument: a block under the spec's own `overlays:`, or a file.

    Raises: SpecError naming the overlays there are.
    """
    blocks = own.value if own is not None else {}
    if name in blocks:
        block: Node = blocks[name]
        if not isinstance(block.value, dict):
            raise SpecError(f"{block.place}: overlay {name} is {describe_value(block.value)}, expected a mapping")
        return block
    path = Path(name)
    if "/" in name or path.suffix in (".yaml", ".yml"):
        return absolute_paths(read_yaml(path), path.parent)
    raise SpecError(f"--with {name}: {file} has no such overlay; it has {', '.join(blocks) or 'none'}")


def absolute_paths(document: Node, folder: Path) -> Node:
    """The document with recipe.data.folder, in overlays too, resolved against the folder of whoever wrote it."""
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
    """The document with the user's own code, of components and of a script, resolved against a folder.

    Raises: SpecError when file or class of a component is missing.
    """
    return program_paths(local_kinds(document, folder), folder)


def program_paths(document: Node, folder: Path) -> Node:
    """The document with the paths of a script, its files and its data resolved against a folder."""
    program = document.value.get("program")
    if program is None or not isinstance(program.value, dict):
        return document
    for key in ("path", "files", "data"):
        if key in program.value:
            program = replace_member(program, key, whole_paths(program.value[key], folder))
    return replace_member(document, "program", program)


def whole_paths(node: Node, folder: Path) -> Node:
    """A path, or a list of them, resolved against a folder; anything else as it is."""
    if isinstance(node.value, list):
        return replace(node, value=[whole_paths(each, folder) for each in node.value])
    return replace(node, value=str((folder / node.value).resolve())) if isinstance(node.value, str) else node


def local_kinds(document: Node, folder: Path) -> Node:
    """The document with each `kind: local:FILE.py:CLASS` as the three keys that it stands for, and whole paths.

    Raises: SpecError when file or class is missing.
    """
    if not isinstance(document.value, dict):
        return document
    members = {key: local_kinds(member, folder) for key, member in document.value.items()}
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
