"""From a name or a file to a valid spec, of a recipe or of a script."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

import pgolf
from pgolf.errors import SpecError
from pgolf.specs.experiment import Experiment, ExperimentSpec
from pgolf.specs.merging import merge, parse_assignment
from pgolf.specs.paths import absolute_paths, own_code_paths
from pgolf.specs.script import ScriptSpec
from pgolf.specs.script_checks import check_script
from pgolf.specs.search import Search, read_search
from pgolf.specs.suggestions import nearest
from pgolf.specs.sweeps import Point
from pgolf.specs.validation_errors import explain_errors, sources
from pgolf.specs.variations import variations
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
    point: Point = field(default_factory=dict)
    """Of a sweep: the values that tell this spec from the others."""
    search: Search | None = None
    """What `pgolf search` looks through."""
    left_out: tuple[tuple[Point, str], ...] = ()
    """Of a sweep: points that make no valid spec, and why."""

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
    facts = (loaded.file, loaded.sources, loaded.overlays, loaded.point, loaded.search, loaded.left_out)
    return LoadedSpec(loaded.spec, *facts)


def load_any(reference: str, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> Loaded:
    """The spec that a reference names, be it of a recipe or of a script, with overlays and assignments on top.

    Raises: SpecError with file:line, also for a sweep.
    """
    return the_only(load_all(reference, overlays, assignments))


def load_all(reference: str, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> list[Loaded]:
    """The specs that a reference stands for: one, or one a point of its sweep, with overlays and assignments on top.

    Raises: SpecError with file:line.
    """
    file = find_spec(reference)
    return compose(read_with_base(file), file, overlays, assignments)


def the_only(found: list[Loaded]) -> Loaded:
    """The one spec.

    Raises: SpecError where a sweep stands for several.
    """
    points = len(found) + len(found[0].left_out)
    if points > 1:
        raise SpecError(f"{found[0].file}: a sweep over {points} points; this takes one spec")
    return found[0]


def load_any_of_run(spec_json: Path, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> Loaded:
    """The spec that a run was made from, with overlays and assignments on top.

    Raises: SpecError with file:line, also for a sweep.
    """
    return the_only(load_all_of_run(spec_json, overlays, assignments))


def load_all_of_run(spec_json: Path, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> list[Loaded]:
    """The specs that a run's and a sweep by assignments stand for.

    Raises: SpecError with file:line.
    """
    document = read_yaml(spec_json)  # JSON is YAML, and so its values have lines as well
    for key in ("seed", "sources"):
        document.value.pop(key, None)
    return compose(own_code_paths(document, spec_json.parent), spec_json, overlays, assignments)


def compose(document: Node, file: Path, overlays: Sequence[str], assignments: Sequence[str]) -> list[Loaded]:
    """The specs of a document once overlays, the points of its sweep and assignments are on top of it."""
    own_overlays = document.value.pop("overlays", None)
    if own_overlays is not None and not isinstance(own_overlays.value, dict):
        found = describe_value(own_overlays.value)
        raise SpecError(f"{own_overlays.place}: overlays: found {found}, expected a mapping of named changes")
    for overlay in overlays:
        document = merge(document, find_overlay(overlay, own_overlays, file))
    kept = own_overlays.plain() if own_overlays else {}
    of_sweep = [each for each in assignments if is_of("sweep", each)]
    document = reduce(merge, map(parse_assignment, of_sweep), document)
    swept = document.value.pop("sweep", None)
    specs: list[Loaded] = []
    left_out: list[tuple[Point, str]] = []
    for variation in variations(swept, file.parent, [each for each in assignments if each not in of_sweep]):
        varied = reduce(merge, variation.changes, document)
        searched = varied.value.pop("search", None)
        search = None if searched is None else read_search(searched.plain(), str(searched.place))
        try:
            spec = validate(varied)
        except SpecError as error:
            if not variation.point:
                raise
            left_out.append((variation.point, str(error)))
            continue
        specs.append(LoadedSpec(spec, file, sources(varied), kept, variation.point, search))
    if not specs:  # what none of the points can be, the sweep itself gets wrong
        raise SpecError(left_out[0][1])
    return [replace(each, left_out=tuple(left_out)) for each in specs]


def is_of(key: str, assignment: str) -> bool:
    """Whether an assignment is of a key, or of one below it."""
    return assignment.partition("=")[0].strip().split(".")[0] == key


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
