"""Sweeps: one spec file that stands for several specs, which differ in the values of a few keys."""

import itertools
import json
import math
import random
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, model_validator

from pgolf.errors import SpecError
from pgolf.specs.parts import SpecPart

# Larger sweeps are most likely typos; a grid of five keys gets there quickly.
MAX_POINTS = 1000
KEY_PATTERN = r"^[A-Za-z0-9_]+(\.[^.\s]+)*$"
# Keys that change the experiment. Only for these does a comma in a `--set` value separate values of a sweep.
SWEEPABLE = ("recipe.", "program.")
# Last parts of keys that are unclear without the part before.
GENERIC_PARTS = ("default", "k", "kind", "start", "end")
Key = Annotated[str, Field(pattern=KEY_PATTERN)]
Point = dict[str, Any]
"""Values by dotted key."""


class Range(SpecPart):
    """A range of numbers."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    log: bool = False
    """Whether to sample uniformly in the logarithm, as is usual for learning rates."""
    whole: bool = False
    """Whether to sample whole numbers only."""

    @model_validator(mode="after")
    def check_order(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log: low {self.low:g} is not above 0")
        if self.whole and math.ceil(self.low) > math.floor(self.high):
            raise ValueError(f"whole: there is no whole number between {self.low:g} and {self.high:g}")
        if self.whole and self.log and self.low < 1:
            raise ValueError(f"log and whole: low {self.low:g} is not 1 or more")
        return self

    def draw(self, chance: random.Random) -> float | int:
        """Draw a number from the range."""
        if self.log:
            number = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        else:
            number = chance.uniform(self.low, self.high)
        if self.whole:
            return min(max(round(number), math.ceil(self.low)), math.floor(self.high))
        return float(f"{number:.6g}")


class GridSweep(SpecPart):
    """All combinations of the values."""

    kind: Literal["grid"]
    values: Annotated[dict[Key, Annotated[list[JsonValue], Field(min_length=1)]], Field(min_length=1)]
    """Values by dotted key, such as `recipe.quantizer.clip.k.default: [11, 12.85]`."""


class PointsSweep(SpecPart):
    """An explicit list of combinations."""

    kind: Literal["points"]
    points: Annotated[list[Annotated[dict[Key, JsonValue], Field(min_length=1)]], Field(min_length=1)]
    """Combinations, each a mapping from dotted keys to values."""


class RandomSweep(SpecPart):
    """Random combinations, the same ones for the same seed."""

    kind: Literal["random"]
    runs: Annotated[int, Field(ge=1, le=MAX_POINTS)]
    """Number of combinations."""
    values: Annotated[dict[Key, Range | Annotated[list[JsonValue], Field(min_length=1)]], Field(min_length=1)]
    """Ranges, or lists of choices, by dotted key."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the random draws."""


Sweep = Annotated[GridSweep | PointsSweep | RandomSweep, Field(discriminator="kind")]
SWEEP: TypeAdapter[GridSweep | PointsSweep | RandomSweep] = TypeAdapter(Sweep, config=ConfigDict(defer_build=True))


def points_of(sweep: GridSweep | PointsSweep | RandomSweep) -> list[Point]:
    """Return the points of a sweep in order, without duplicates.

    Raises:
        SpecError: there are too many.
    """
    match sweep:
        case GridSweep():
            if math.prod(map(len, sweep.values.values())) > MAX_POINTS:
                raise SpecError(f"sweep: more than {MAX_POINTS:,} points; give fewer values, or `kind: random`")
            found = [
                dict(zip(sweep.values, values, strict=True)) for values in itertools.product(*sweep.values.values())
            ]
        case PointsSweep():
            found = [dict(point) for point in sweep.points]
        case RandomSweep():
            chance = random.Random(sweep.seed)
            found = [{key: draw(source, chance) for key, source in sweep.values.items()} for _ in range(sweep.runs)]
    return list({json.dumps(point, sort_keys=True): point for point in found}.values())


def draw(source: Range | list[JsonValue], chance: random.Random) -> JsonValue:
    """Draw a value from a range or a list."""
    return source.draw(chance) if isinstance(source, Range) else chance.choice(source)


def read_sweep(document: object, place: str) -> list[Point]:
    """Return the points of the `sweep:` block of a spec.

    Raises:
        SpecError: it is wrong, at file:line.
    """
    try:
        return points_of(SWEEP.validate_python(document))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] in ("union_tag_not_found", "union_tag_invalid"):
            raise SpecError(f"{place}: sweep.kind: expected grid, points or random") from None
        path = ".".join(str(part) for part in ("sweep", *first["loc"]) if part not in ("grid", "points", "random"))
        raise SpecError(f"{place}: {path}: {first['msg'].removeprefix('Value error, ')}") from None


@dataclass(frozen=True, slots=True)
class Alternatives:
    """The alternative values of one `--set`."""

    key: str
    arguments: list[str]
    """`key=value` for each of the values."""

    @property
    def has_several(self) -> bool:
        return len(self.arguments) > 1


def alternatives_of(argument: str) -> Alternatives:
    """Split `--set key=a,b` at commas outside brackets and quotes, if the key is one that can be swept."""
    key, equals, text = argument.partition("=")
    if not key.strip().startswith(SWEEPABLE):
        return Alternatives(key.strip(), [argument])
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        depth += (character in "[{") - (character in "]}") if not quote else 0
        if character == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return Alternatives(key.strip(), [argument] if len(parts) == 1 else [f"{key}{equals}{part}" for part in parts])


def label_of(point: Point) -> str:
    """Return a short label of a point, with just enough of each key to tell them apart."""
    return " ".join(
        f"{name}={shown(value)}" for name, value in zip(short_names(list(point)), point.values(), strict=True)
    )


def short_names(keys: list[str]) -> list[str]:
    """Shorten each dotted key to its last parts, as many as no other key ends in."""
    names = []
    for key in keys:
        parts = key.split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[-count:])
            if parts[-count] in GENERIC_PARTS:
                continue
            if sum(other == key or other.endswith(f".{name}") for other in keys) == 1:
                break
        names.append(name)
    return names


def shown(value: object) -> str:
    """Return a value as shown in a label."""
    match value:
        case float():
            return f"{value:g}"
        case dict() if "kind" in value:
            return str(value["kind"])
        case _:
            return str(value)
