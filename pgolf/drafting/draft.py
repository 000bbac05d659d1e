"""Drafts a recipe for a training script: the most similar shipped spec with the values that differ."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from pgolf.drafting.components import CHOICES, EARLY_RULES, RULES, Rule
from pgolf.drafting.counting.model_code import ScriptModel, model_of
from pgolf.drafting.elsewhere import BY_HAND, place_of
from pgolf.drafting.evidence import Evidence
from pgolf.drafting.features import differing_features, named_features
from pgolf.drafting.learned import learned_names
from pgolf.drafting.mappings import MAPPINGS, Mapped
from pgolf.drafting.not_in_recipe import reason_missing
from pgolf.drafting.pace import Pace
from pgolf.drafting.parts import PartDifference, differing_parts, explaining_parts
from pgolf.drafting.values import Hyperparameter
from pgolf.errors import SpecError
from pgolf.records.logs import runs_in
from pgolf.scripts.program import ScriptProgram
from pgolf.specs.experiment import recipe_json
from pgolf.specs.flat import flatten
from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from trainer.dialects.logged import LoggedRun
from trainer.recipe.inventory import inventory

# Specs that do not reproduce a script; a script is drafted from one that does.
NOT_PUBLISHED = ("quickstart", "english")
SAME = 1e-6
# So many of the shipped specs are tried where a log or the code gives the number of parameters; of those that give it,
# the one that needs the fewest changes is the base.
MOST_BASES = 6

Overrides = Mapping[str, tuple[Any, Hyperparameter]]
"""Values by dotted recipe key, each with the hyperparameter that it follows from."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """A comparison of a script's values with those of a shipped spec."""

    name: str
    alike: list[str]
    """Names of equal values."""
    other: list[str]
    """Names of values that are different in the spec."""
    absent: list[str]
    """Names of values for which the spec has no key."""

    @property
    def rank(self) -> tuple[int, int, int]:
        """Sort key, most similar first."""
        return len(self.absent) + len(self.other), len(self.absent), -len(self.alike)


@dataclass(slots=True)
class Draft:
    """A recipe drafted for a script."""

    base: str
    """Name of the shipped spec that the draft extends."""
    nearest: list[Similarity]
    """Comparisons with the shipped specs, most similar first."""
    overrides: dict[str, tuple[Any, Hyperparameter]] = field(default_factory=dict)
    """Values that differ from the base, by dotted key."""
    elsewhere: list[tuple[Hyperparameter, str]] = field(default_factory=list)
    """Values that need no recipe key, with what takes their place."""
    unmapped: list[tuple[Hyperparameter, str]] = field(default_factory=list)
    """Values that were not mapped, with the reason."""
    decided: set[str] = field(default_factory=set)
    """Variables that the choice of a component, or the conversion of another value, has looked at."""
    lacking: list[str] = field(default_factory=list)
    """Features that the code names and the base lacks."""
    unnamed: list[str] = field(default_factory=list)
    """Features that the base has and the code does not name."""
    parameters: int | None = None
    """Number of parameters of the draft's model."""
    logged_parameters: int | None = None
    """Number of parameters of the script's model, from its log."""
    log_note: str | None = None
    """What the log leaves open: it prints no number of parameters, or it has several runs; None if nothing."""
    script_parameters: int | None = None
    """Number of parameters of the script's model, counted in its code."""
    doubt: str | None = None
    """Why the script's parameters were not counted, as in `train.py:90 is not followed`; None if they were."""
    differing: list[PartDifference] = field(default_factory=list)
    """Parts of the model that have other numbers of parameters in the script's code."""

    @property
    def verdict(self) -> str:
        """The result of comparing the parameter counts, and what the log leaves open."""
        return self.compared if self.log_note is None else f"{self.compared}; {self.log_note}"

    @property
    def compared(self) -> str:
        """The result of comparing the parameter counts."""
        if self.parameters is None:
            return "the draft is not a valid spec, so its parameters were not counted"
        own = f"the draft has {self.parameters:,} parameters"
        if self.logged_parameters == self.parameters:
            return f"the draft and the log both have {self.parameters:,} parameters"
        if self.logged_parameters is not None:
            return f"{own}, the log {self.difference(self.logged_parameters)}"
        if self.script_parameters is None:
            why = f" (its code was not counted: {self.doubt})" if self.doubt is not None else ""
            return f"{own}; not compared with the script's{self.advice(', which', 'would give')}{why}"
        if self.script_parameters == self.parameters:
            return f"{own}, as the script's code{self.advice(';', 'would confirm it')}"
        return f"{own}, the script's code {self.difference(self.script_parameters)}"

    def advice(self, before: str, after: str) -> str:
        """Return what the log of a run would do; nothing if there was one."""
        return f"{before} --log FILE of a run {after}" if self.log_note is None else ""

    def difference(self, parameters: int) -> str:
        """Return another number of parameters, its difference from the draft's, and the parts that differ."""
        assert self.parameters is not None
        return f"{parameters:,} ({self.parameters - parameters:+,}): {self.explanation(parameters)}"

    def explanation(self, parameters: int) -> str:
        """Return which parts of the model differ from a model with this number of parameters."""
        assert self.parameters is not None
        if not self.differing:
            why = f", since {self.doubt}" if self.doubt is not None else ""
            return f"the part that differs is not known{why}; compare the model's code with `pgolf spec show`"
        parts = "; ".join(part.text for part in self.differing)
        found = sum(part.draft - part.script for part in self.differing if part.script is not None)
        if any(part.script is None for part in self.differing) or found == self.parameters - parameters:
            return f"they differ in {parts}"
        left = self.parameters - parameters - found
        return f"they differ in {parts}; {left:+,} are not explained by the script's code"


def draft_of(program: ScriptProgram, log: Path | None, given: Mapping[str, str]) -> Draft:
    """Draft a recipe for a script. Given values override a log's, which override the script's defaults.

    Raises:
        SpecError: the log has no run, or the script no known variables.
    """
    runs = [] if log is None else logged_runs(log)
    logged = runs[-1] if runs else None
    values = hyperparameters(program, logged, given)
    if not any(mapped_values(values)):
        raise SpecError(
            f"{program.name} reads no environment variable that maps to a recipe key, so no recipe can be drafted; "
            "`--as script` drafts a spec that runs the script unchanged"
        )
    parameters = None if logged is None else logged.parameters
    model = model_of(program, values, parameters)
    is_complete = model is not None and model.is_certain
    pace = None if logged is None else Pace.of_run(logged)
    script = Evidence(values, learned_names(program, model), is_complete, named_features(program), {}, pace)
    nearest = sorted((compare_with_spec(name, script) for name in published()), key=lambda each: each.rank)
    expected = parameters or (model.parameters if model is not None and is_complete else None)
    drafts: list[Draft] = []
    for base in nearest[: MOST_BASES if expected else 1]:
        draft = Draft(base.name, nearest, logged_parameters=parameters, log_note=note_of(runs))
        fill(draft, program, script, model)
        drafts.append(draft)
    equal = [draft for draft in drafts if draft.parameters == expected]
    return min(equal, key=lambda draft: len(draft.overrides) + len(draft.unmapped), default=drafts[0])


def fill(draft: Draft, program: ScriptProgram, script: Evidence, model: ScriptModel | None) -> None:
    """Fill a draft with what the script's values and code change in its base."""
    add_components(EARLY_RULES, script, draft)
    add_shape(script, draft)
    add_components(RULES, script, draft)
    current = flat_recipe(draft.base, draft.overrides)
    draft.lacking, draft.unnamed = differing_features(program, current)
    values = script.values
    mapped = [value for _, value in mapped_values(values)]  # widths and layers first: later conversions depend on them
    for value in [*mapped, *(value for value in values.values() if value not in mapped)]:
        if value not in [each for each, _ in draft.unmapped]:
            add_value(value, replace(script, recipe=current), draft)
    drop_refused(draft)
    count_parameters(model, draft)


def count_parameters(model: ScriptModel | None, draft: Draft) -> None:
    """Count the draft's parameters and those of the script's code, and compare their parts."""
    recipe = load_spec(draft.base, [], assignments(draft.overrides)).spec.recipe
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    draft.parameters = sum(tensor.size for tensor in tensors)
    if model is not None:
        draft.script_parameters, draft.doubt = model.parameters, model.doubt
        draft.differing = differing_parts(model, tensors)
        if not model.is_certain:
            left = 0 if draft.logged_parameters is None else draft.parameters - draft.logged_parameters
            draft.differing = explaining_parts(draft.differing, left) if left else []


def add_shape(script: Evidence, draft: Draft) -> None:
    """Add the values of the model's shape, such as width and layers: the choice of components depends on them."""
    current = flat_recipe(draft.base)
    for mapped, value in mapped_values(script.values):
        if mapped.key in current and mapped.key.startswith(("recipe.data.", "recipe.model.")):
            add_value(value, replace(script, recipe=current), draft)
    drop_refused(draft)


def add_components(rules: Sequence[Rule], script: Evidence, draft: Draft) -> None:
    """Add the components that the script decides on; one that the draft cannot have becomes unmapped."""
    for rule in rules:
        current, asked = flat_recipe(draft.base, draft.overrides), set[str]()
        choice = rule(replace(script, recipe=current, asked=asked))
        if choice is None:
            continue
        draft.decided |= asked
        draft.unmapped += choice.left
        if choice.refusal is not None:
            draft.unmapped.append((choice.source, choice.refusal))
            continue
        changed = changes(choice.assigned, current)
        kept = {key: pair for key, pair in draft.overrides.items() if not is_superseded(key, changed)}
        sources = {key: draft.overrides.get(key, (value, choice.source))[1] for key, value in changed.items()}
        overrides = kept | {key: (value, sources[key]) for key, value in changed.items()}
        if (refusal := refusal_of(draft.base, assignments(overrides))) is None:
            draft.overrides = overrides
        else:
            draft.unmapped.append((choice.source, reason_of(refusal)))


def is_superseded(key: str, changed: Mapping[str, Any]) -> bool:
    """Return whether changes replace the component to which a key belongs, or the key itself."""
    replaced = [each.removesuffix(".kind") for each in changed if each.endswith(".kind")]
    return any(key == each or key.startswith(f"{each}.") for each in (*changed, *replaced))


def changes(assigned: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """Return the assignments that change a recipe; a component of another kind keeps none of its old values."""
    absent = object()
    changed = {
        key
        for key, value in assigned.items()
        if not is_same(value_at(key, current, absent), value)
        and not (value is None and current.get(key) is None and not any(each.startswith(f"{key}.") for each in current))
    }
    replaced = tuple(key.removesuffix("kind") for key in changed if key.endswith(".kind"))
    return {key: value for key, value in assigned.items() if key in changed or key.startswith(replaced)}


def value_at(key: str, recipe: Mapping[str, Any], absent: Any) -> Any:
    """Return the value of a dotted key, a mapping of those below it where only these are there."""
    below = {each.removeprefix(f"{key}."): value for each, value in recipe.items() if each.startswith(f"{key}.")}
    return recipe.get(key, below or absent)


def logged_runs(log: Path) -> list[LoggedRun]:
    """Return the runs in a log; the last one counts.

    Raises:
        SpecError: there is none.
    """
    try:
        runs, _, _ = runs_in(log, log.parent)
    except (OSError, ValueError) as error:
        raise SpecError(f"--log {log}: {error}") from None
    if not runs:
        raise SpecError(f"--log {log}: found no score; give the log of a finished run")
    return runs


def note_of(runs: Sequence[LoggedRun]) -> str | None:
    """Return which of several runs in a log was taken, and whether it prints no number of parameters."""
    notes = []
    if len(runs) > 1:
        notes.append(f"of the log's {len(runs)} runs the last was taken, {runs[-1].file}:{runs[-1].first_line}")
    if runs and runs[-1].parameters is None:
        notes.append("the log prints no number of parameters")
    return "; ".join(notes) or None


def hyperparameters(
    program: ScriptProgram, logged: LoggedRun | None, given: Mapping[str, str]
) -> dict[str, Hyperparameter]:
    """Return the variables that the script reads, each with its given, logged or default value."""
    found = {}
    printed = {} if logged is None else {name.upper(): text for name, text in logged.settings.items()}
    for variable in program.reads.unset(()):
        if variable.name in given:
            value = Hyperparameter(variable.name, given[variable.name], "given")
        elif logged is not None and is_value(printed.get(variable.name), variable.default):
            value = Hyperparameter(variable.name, printed[variable.name], logged.file)
        else:
            value = Hyperparameter(variable.name, variable.default or "", variable.place)
        found[value.name] = value
    return found


def is_value(printed: str | None, default: str | None) -> bool:
    """Return whether a log prints a variable's value: a number where the script's default is one.

    Logs also have the script's code, whose signatures look alike: `num_layers: int,`.
    """
    if printed is None:
        return False
    is_number = default is not None and Hyperparameter("", default, "").number is not None
    return not is_number or Hyperparameter("", printed, "").number is not None


def published() -> list[str]:
    """Return the shipped specs that reproduce a script."""
    return [name for name in shipped_specs() if name not in NOT_PUBLISHED and not name.endswith("_corrected")]


@cache
def shipped_recipe(name: str) -> Mapping[str, Any]:
    """Return a shipped spec's recipe by dotted key."""
    return flat_recipe(name)


def flat_recipe(name: str, overrides: Overrides | None = None) -> dict[str, Any]:
    """Return a shipped spec's recipe with overrides, by dotted key."""
    return flatten({"recipe": recipe_json(load_spec(name, [], assignments(overrides or {})).spec.recipe)})


def compare_with_spec(name: str, script: Evidence) -> Similarity:
    """Compare the script's mapped values with those of a shipped spec."""
    recipe = shipped_recipe(name)
    known = replace(script, recipe=recipe)
    alike, other, absent = list[str](), list[str](), list[str]()
    for mapped, value in mapped_values(script.values):
        if mapped.key not in recipe:
            absent.append(value.name)
            continue
        try:
            found = mapped.convert(value.value, known)
        except (ValueError, ArithmeticError):
            absent.append(value.name)
            continue
        (alike if is_same(found, recipe[mapped.key]) else other).append(value.name)
    return Similarity(name, alike, other, absent)


def mapped_values(values: Mapping[str, Hyperparameter]) -> Iterator[tuple[Mapped, Hyperparameter]]:
    """Yield the values that map to a recipe key, with their mappings."""
    for mapped in MAPPINGS:
        for name in mapped.names:
            if name in values and values[name].text:
                yield mapped, values[name]


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal up to rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) <= SAME * max(abs(one), abs(other))
    return bool(one == other)


def add_value(value: Hyperparameter, script: Evidence, draft: Draft) -> None:
    """Add a value to the draft's overrides if it changes the draft, or to its other lists if it has no key.

    The script's recipe, the draft so far, changes with it.
    """
    mapped = next((each for each in MAPPINGS if value.name in each.names), None)
    current = cast(dict[str, Any], script.recipe)
    if value.name in CHOICES and value.name in draft.decided:
        return
    if (elsewhere := place_of(value, script)) is not None:
        draft.elsewhere.append((value, elsewhere))
    elif value.name in BY_HAND:
        draft.unmapped.append((value, BY_HAND[value.name]))
    elif mapped is not None and mapped.key in current:
        asked = set[str]()
        try:
            converted = mapped.convert(value.value, replace(script, asked=asked))
        except (ValueError, ArithmeticError) as error:
            draft.unmapped.append((value, str(error)))
            return
        draft.decided |= asked
        if not is_same(converted, current[mapped.key]):
            current[mapped.key] = converted
            draft.overrides[mapped.key] = converted, value
    elif (reason := reason_missing(value, script.values)) is not None:
        draft.unmapped.append((value, reason))
    elif mapped is not None:
        draft.unmapped.append((value, f"the draft has no {mapped.key}; it would need another component"))
    elif value.name in CHOICES:
        draft.unmapped.append((value, "it decides on a component that the draft does not have or cannot change"))
    else:
        draft.unmapped.append((value, "no recipe key is known for this variable"))


def drop_refused(draft: Draft) -> None:
    """Take out the overrides that make the draft invalid; they become unmapped, with the reason."""
    while draft.overrides and (refusal := refusal_of(draft.base, assignments(draft.overrides))) is not None:
        key = culprit(draft, refusal)
        _, value = draft.overrides.pop(key)
        draft.unmapped.append((value, reason_of(refusal)))


def reason_of(refusal: SpecError) -> str:
    """Return why a draft is refused, without the first of its assignments, which need not be the cause."""
    return re.sub(r"^--set \S+: ", "", str(refusal).splitlines()[0])


def refusal_of(base: str, assigned: list[str]) -> SpecError | None:
    """Return why a spec with these assignments is refused; None if it is valid."""
    try:
        load_spec(base, [], assigned)
    except SpecError as error:
        return error
    return None


def culprit(draft: Draft, refusal: SpecError) -> str:
    """Return the key of an override without which the draft is valid, those that the refusal names first.

    If no single one is enough, return the first of them.
    """
    keys = sorted(draft.overrides, key=lambda key: not overlaps(key, refusal.keys))
    for key in keys:
        others = {other: pair for other, pair in draft.overrides.items() if other != key}
        if refusal_of(draft.base, assignments(others)) is None:
            return key
    return keys[0]


def overlaps(key: str, refused: Sequence[str]) -> bool:
    """Return whether a dotted key is one of those refused, or lies above or below one of them."""
    return any(f"{key}.".startswith(f"{each}.") or f"{each}.".startswith(f"{key}.") for each in refused)


def assignments(overrides: Overrides) -> list[str]:
    """Return overrides as `--set` arguments."""
    return [f"{key}={as_yaml(value)}" for key, (value, _) in overrides.items()]


def as_yaml(value: Any) -> str:
    """Return a value as one-line YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}": {as_yaml(each)}' for key, each in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(f'"{each}"' if isinstance(each, str) else as_yaml(each) for each in value) + "]"
    return "null" if value is None else repr(value) if isinstance(value, float) else str(value)
