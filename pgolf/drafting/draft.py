"""From somebody's script to a draft of a spec: the nearest shipped one, what differs from it, and what is left over."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgolf.drafting.features import differing_features
from pgolf.drafting.mappings import BY_HAND, ELSEWHERE, MAPPINGS, Mapped
from pgolf.errors import SpecError
from pgolf.records.logs import runs_in
from pgolf.scripts.program import ScriptProgram
from pgolf.specs.experiment import recipe_json
from pgolf.specs.flat import flatten
from pgolf.specs.loading import load_spec, shipped_specs
from trainer.dialects.logged import LoggedRun
from trainer.recipe.inventory import inventory, parameter_groups

# Specs of pgolf's own, and repaired ones: what a script does is nearest to what a script did.
NOT_PUBLISHED = ("quickstart", "english")
SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A value that a script will use, and where that is said."""

    name: str
    text: str
    place: str

    @property
    def value(self) -> float | str:
        """A number, where the text is one."""
        words = {"True": "1", "False": "0"}.get(self.text, self.text).strip("'\"").replace("_", "")
        try:
            return float(words)
        except ValueError:
            return self.text.strip("'\"")


@dataclass(frozen=True, slots=True)
class Nearness:
    """How like a script's values are to those of a shipped spec."""

    name: str
    alike: list[str]
    other: list[str]
    """Values that the spec has, and has otherwise."""
    absent: list[str]
    """Values for which the spec has no place."""

    @property
    def rank(self) -> tuple[int, int, int]:
        """What to sort by, nearest first."""
        return len(self.absent) + len(self.other), len(self.absent), -len(self.alike)


@dataclass(slots=True)
class Draft:
    """What came of a script."""

    base: str
    nearest: list[Nearness]
    overrides: dict[str, tuple[Any, Hyperparameter]] = field(default_factory=dict)
    elsewhere: list[tuple[Hyperparameter, str]] = field(default_factory=list)
    unmapped: list[tuple[Hyperparameter, str]] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    """Ideas that the code names and the base does not have."""
    unnamed: list[str] = field(default_factory=list)
    """Ideas that the base has and no name in the code speaks of."""
    parameters: int | None = None
    """Of the draft's model."""
    logged_parameters: int | None = None
    """Of the script's, as its log prints them."""

    @property
    def verdict(self) -> str:
        """What the comparison of parameter counts says."""
        if self.parameters is None:
            return "the draft is no valid spec, so its parameters were not counted"
        if self.logged_parameters is None:
            return f"the draft has {self.parameters:,} parameters; not compared: --log FILE of a run tells the script's"
        if self.logged_parameters == self.parameters:
            return f"draft and log have {self.parameters:,} parameters each"
        difference = self.parameters - self.logged_parameters
        return (
            f"the draft has {self.parameters:,} parameters, the log {self.logged_parameters:,} ({difference:+,}): "
            "the model is another one, and what is not mapped is likely why"
        )


def draft_of(program: ScriptProgram, log: Path | None, given: Mapping[str, str]) -> Draft:
    """The draft of a script's spec. A log's values go before the defaults in the text, given ones before both.

    Raises: SpecError for a log that holds no run.
    """
    logged = None if log is None else last_run(log)
    values = hyperparameters(program, logged, given)
    if not any(mapped_values(values)):
        raise SpecError(
            f"{program.name} reads no variable that is known to be a key of recipes, so there is nothing to draft "
            "from; --as script drafts a spec that runs it as it is"
        )
    nearest = sorted((nearness(name, values) for name in published()), key=lambda each: each.rank)
    draft = Draft(nearest[0].name, nearest, logged_parameters=None if logged is None else logged.parameters)
    base = flat_recipe(draft.base)
    draft.lacking, draft.unnamed = differing_features(program, base)
    current = dict(base)
    mapped = [value for _, value in mapped_values(values)]  # widths and layers first, as what follows depends on them
    for value in [*mapped, *(value for value in values.values() if value not in mapped)]:
        sort_in(value, base, current, draft)
    count_parameters(draft)
    return draft


def last_run(log: Path) -> LoggedRun:
    """The last run that a log prints.

    Raises: SpecError when there is none.
    """
    try:
        runs, _, _ = runs_in(log, log.parent)
    except (OSError, ValueError) as error:
        raise SpecError(f"--log {log}: {error}") from None
    if not runs:
        raise SpecError(f"--log {log}: it prints no score, and so no run to compare with")
    return runs[-1]


def hyperparameters(
    program: ScriptProgram, logged: LoggedRun | None, given: Mapping[str, str]
) -> dict[str, Hyperparameter]:
    """Each variable that the script reads, with the value that it will have as far as that is known."""
    found = {}
    printed = {} if logged is None else {name.upper(): text for name, text in logged.settings.items()}
    for variable in program.reads.unset(()):
        if variable.name in given:
            value = Hyperparameter(variable.name, given[variable.name], "given")
        elif variable.name in printed and logged is not None:
            value = Hyperparameter(variable.name, printed[variable.name], logged.file)
        else:
            value = Hyperparameter(variable.name, variable.default or "", variable.place)
        found[value.name] = value
    return found


def published() -> list[str]:
    """Shipped specs that a script may be near to."""
    return [name for name in shipped_specs() if name not in NOT_PUBLISHED and not name.endswith("_corrected")]


def flat_recipe(name: str) -> dict[str, Any]:
    """A shipped spec's recipe by dotted key."""
    return flatten({"recipe": recipe_json(load_spec(name).spec.recipe)})


def nearness(name: str, values: Mapping[str, Hyperparameter]) -> Nearness:
    """How like the script's mapped values are to those of a shipped spec."""
    recipe = flat_recipe(name)
    alike, other, absent = list[str](), list[str](), list[str]()
    for mapped, value in mapped_values(values):
        if mapped.key not in recipe:
            absent.append(value.name)
            continue
        try:
            found = mapped.convert(value.value, recipe)
        except (ValueError, ArithmeticError):
            absent.append(value.name)
            continue
        (alike if is_same(found, recipe[mapped.key]) else other).append(value.name)
    return Nearness(name, alike, other, absent)


def mapped_values(values: Mapping[str, Hyperparameter]) -> Iterator[tuple[Mapped, Hyperparameter]]:
    """The values that are a key of recipes."""
    for mapped in MAPPINGS:
        for name in mapped.names:
            if name in values and values[name].text:
                yield mapped, values[name]


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same, but for rounding."""
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) <= SAME * max(abs(one), abs(other))
    return bool(one == other)


def sort_in(value: Hyperparameter, base: Mapping[str, Any], current: dict[str, Any], draft: Draft) -> None:
    """Nothing; a value has become an override, or stands among those that need none, or among those that are left."""
    mapped = next((each for each in MAPPINGS if value.name in each.names), None)
    if value.name in BY_HAND:
        draft.unmapped.append((value, BY_HAND[value.name]))
    elif value.name in ELSEWHERE:
        draft.elsewhere.append((value, ELSEWHERE[value.name]))
    elif mapped is None:
        draft.unmapped.append((value, "no key of a recipe is known to be this"))
    elif mapped.key not in base:
        draft.unmapped.append((value, f"{draft.base} has no {mapped.key}; another component would have to stand there"))
    else:
        try:
            converted = mapped.convert(value.value, current)
        except (ValueError, ArithmeticError) as error:
            draft.unmapped.append((value, str(error)))
            return
        current[mapped.key] = converted
        if not is_same(converted, base[mapped.key]):
            draft.overrides[mapped.key] = converted, value


def count_parameters(draft: Draft) -> None:
    """Nothing; the draft knows its parameters. An override that makes it invalid is taken back, with the reason."""
    for key in [*draft.overrides]:
        try:
            load_spec(draft.base, [], assignments(draft))
            break
        except SpecError as error:
            named = next((each for each in draft.overrides if each in str(error)), key)
            _, value = draft.overrides.pop(named)
            draft.unmapped.append((value, str(error).splitlines()[0]))
    try:
        recipe = load_spec(draft.base, [], assignments(draft)).spec.recipe
        draft.parameters = sum(parameter_groups(inventory(recipe.model, recipe.vocabulary_size)).values())
    except (SpecError, ValueError):
        draft.parameters = None


def assignments(draft: Draft) -> list[str]:
    """The overrides as `--set` would give them."""
    return [f"{key}={as_yaml(value)}" for key, (value, _) in draft.overrides.items()]


def as_yaml(value: Any) -> str:
    """A value in YAML, on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(f'"{each}"' for each in value) + "]"
    return "null" if value is None else repr(value) if isinstance(value, float) else str(value)
