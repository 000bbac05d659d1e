"""From a name or a file to a validated experiment."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from pgolf.errors import SpecError
from pgolf.specs.experiment import Experiment
from pgolf.specs.merging import merge, parse_assignment
from pgolf.specs.paths import absolute_paths, own_code_paths
from pgolf.specs.script_checks import check_script
from pgolf.specs.search import Search, read_search
from pgolf.specs.shipped import shipped_specs
from pgolf.specs.suggestions import nearest
from pgolf.specs.sweeps import Point, label_of
from pgolf.specs.validation_errors import explain_errors, refused_keys, sources
from pgolf.specs.variations import variations
from pgolf.specs.yaml_documents import Node, describe_value, read_yaml

# Keys that spec.json in a run directory has beside the spec itself.
KEYS_OF_RUN = ("seed", "sources")
# Most specs that a spec builds on, one on top of the other.
MAX_BASES = 4


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """An experiment and where its values came from."""

    spec: Experiment
    file: Path
    sources: dict[str, str]
    """file:line of each value that was written; a key that is missing here has its default."""
    overlays: dict[str, Any]
    """The spec's own overlays, kept so that a later command can apply them to a run of it."""
    point: Point = field(default_factory=dict)
    """For a point of a sweep: the values that tell it from the other points."""
    search: Search | None = None
    """What `pgolf search` varies."""
    left_out: tuple[tuple[Point, str], ...] = ()
    """For a sweep: the points that make no valid spec, and why."""

    @property
    def name(self) -> str:
        """The spec's name, with its point of a sweep."""
        return f"{self.spec.name} {label_of(self.point)}".rstrip()

    @property
    def origin(self) -> dict[str, Any]:
        """What spec.json keeps beside the resolved values."""
        return {"sources": self.sources, "overlays": self.overlays}

    def require_recipe(self) -> Self:
        """Return this, if the experiment has a recipe.

        Raises:
            SpecError: it runs a script.
        """
        try:
            self.spec.recipe  # noqa: B018
        except SpecError as error:
            raise SpecError(f"{self.file}: {error}") from None
        return self


def load_spec(reference: str | Path, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> LoadedSpec:
    """Load one spec: a file, the name of a shipped experiment, or the spec.json of a run.

    Overlays are applied first, then assignments.

    Raises:
        SpecError: the spec is wrong, at file:line; or it is a sweep.
    """
    found = load_specs(reference, overlays, assignments)
    points = len(found) + len(found[0].left_out)
    if points > 1:
        raise SpecError(f"{found[0].file}: found a sweep over {points} points; this command takes a single spec")
    return found[0]


def load_specs(
    reference: str | Path, overlays: Sequence[str] = (), assignments: Sequence[str] = ()
) -> list[LoadedSpec]:
    """Load a spec as `load_spec` does, or one spec a point where it is a sweep.

    Raises:
        SpecError: the spec is wrong, at file:line.
    """
    file = reference if isinstance(reference, Path) else find_spec(reference)
    return compose(read_spec(file), file, overlays, assignments)


def compose(document: Node, file: Path, overlays: Sequence[str], assignments: Sequence[str]) -> list[LoadedSpec]:
    """Return the specs of a document, with overlays, the points of its sweep and assignments applied in this order."""
    own_overlays = document.value.pop("overlays", None)
    if own_overlays is not None and not isinstance(own_overlays.value, dict):
        found = describe_value(own_overlays.value)
        raise SpecError(f"{own_overlays.place}: overlays: found {found}, expected a mapping of named changes")
    for overlay in overlays:
        document = merge(document, find_overlay(overlay, own_overlays, file))
    kept = own_overlays.plain() if own_overlays else {}
    of_sweep = [each for each in assignments if assigns_below("sweep", each)]
    document = reduce(merge, map(parse_assignment, of_sweep), document)
    swept = document.value.pop("sweep", None)
    specs: list[LoadedSpec] = []
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
    if not specs:  # every point is wrong in the same way: the sweep itself is
        raise SpecError(left_out[0][1])
    return [replace(each, left_out=tuple(left_out)) for each in specs]


def assigns_below(key: str, assignment: str) -> bool:
    """Return whether an assignment sets a key, or one below it."""
    return assignment.partition("=")[0].strip().split(".")[0] == key


def validate(document: Node) -> Experiment:
    """Return the experiment that a document describes.

    Raises:
        SpecError: the document is wrong, at file:line.
    """
    program, recipe = (document.value.get(key) for key in ("program", "recipe"))
    if program is not None and recipe is not None and None not in (program.value, recipe.value):
        raise SpecError(
            f"{program.place}: found both `program` and `recipe`; a script takes the place of a recipe, so drop one"
        )
    try:
        spec = Experiment.model_validate(document.plain())
    except ValidationError as error:
        raise SpecError(explain_errors(error, document), refused_keys(error)) from None
    if spec.is_script:
        check_script(spec, document)
    return spec


def find_spec(reference: str) -> Path:
    """Return the file of a spec: a path, or the name of a shipped experiment.

    Raises:
        SpecError: there is no such file and no such experiment; names the nearest one.
    """
    path = Path(reference)
    if "/" in reference or path.suffix in (".yaml", ".yml") or path.exists():
        return path
    shipped = shipped_specs()
    if reference in shipped:
        return shipped[reference]
    own = path.with_name(f"{path.name}.yaml")
    close = str(own) if own.exists() else nearest(reference, list(shipped))
    hint = f"did you mean `{close}`?" if close else f"shipped experiments: {', '.join(shipped)}"
    raise SpecError(f"{reference}: no such file and no shipped experiment of this name; {hint}")


def read_spec(file: Path) -> Node:
    """Read a spec file, on top of the one that it extends; or spec.json of a run, without what it keeps about the run.

    Raises:
        SpecError: a file is wrong, or too many specs extend one another, or do so in a circle.
    """
    document = read_yaml(file)  # JSON is YAML, so the values of spec.json have line numbers as well
    if all(key in document.value for key in KEYS_OF_RUN):
        for key in KEYS_OF_RUN:
            del document.value[key]
        return own_code_paths(document, file.parent)
    return on_its_bases(document, [file])


def on_its_bases(document: Node, chain: list[Path]) -> Node:
    """Return a document merged on top of the spec that it extends. `chain` ends with its own file.

    Raises:
        SpecError: the base cannot be read, or the chain is too long or a circle.
    """
    file = chain[-1]
    document = absolute_paths(document, file.parent)
    base = document.value.pop("extends", None)
    if base is None:
        return document
    if not isinstance(base.value, str):
        raise SpecError(f"{base.place}: extends: found {describe_value(base.value)}, expected the name of one spec")
    is_file = "/" in base.value or base.value.endswith((".yaml", ".yml"))
    base_file = file.parent / base.value if is_file else find_spec(base.value)
    named = " extends ".join(each.name for each in [*chain, base_file])
    if os.path.realpath(base_file) in [os.path.realpath(each) for each in chain]:
        raise SpecError(f"{base.place}: {named}: that is a circle; remove one `extends`")
    if len(chain) > MAX_BASES:
        raise SpecError(
            f"{base.place}: {named}: found more than {MAX_BASES} specs below {chain[0].name}; "
            f"write what it needs of them into {chain[0].name} itself"
        )
    return merge(on_its_bases(read_yaml(base_file), [*chain, base_file]), document)


def find_overlay(name: str, own: Node | None, file: Path) -> Node:
    """Return the overlay of a --with argument: a block under the spec's own `overlays:`, or a file.

    Raises:
        SpecError: there is no such overlay; names those that exist.
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
    raise SpecError(f"--with {name}: {file} has no overlay of this name; it has {', '.join(blocks) or 'none'}")
