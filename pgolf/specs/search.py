"""The `search:` block of a spec: which keys vary, and how much training each stage gives a point."""

import re
from typing import Annotated

from pydantic import Field, JsonValue, ValidationError, model_validator

from pgolf.errors import SpecError
from pgolf.specs.parts import SpecPart
from pgolf.specs.sweeps import Key, Range

LENGTH = "recipe.budget.train"
# Beginnings of the keys that a point may change: never where it runs, what it may cost, or the rules that apply.
# A person may write a point that changes the files of a script; a proposer changes only its variables.
POINT_PREFIXES = ("recipe.", "program.")
PROPOSAL_PREFIXES = ("recipe.", "program.env.")


class Rung(SpecPart):
    """A stage of the search: how long each point is trained, and with how many seeds."""

    share: Annotated[float, Field(gt=0, le=1)]
    """Share of the spec's own training budget."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of seeds; a point's score is their mean."""


class Search(SpecPart):
    """What `pgolf search` varies, and how."""

    values: Annotated[dict[Key, Range | Annotated[list[JsonValue], Field(min_length=1)]], Field(min_length=1)]
    """Ranges, or lists of choices, by dotted key."""
    rungs: Annotated[list[Rung], Field(min_length=1)] = [
        Rung.model_construct(share=0.25),
        Rung.model_construct(share=1.0),
        Rung.model_construct(share=1.0, seeds=3),
    ]
    """Stages, in order; only the best points of each go on to the next."""
    keep: Annotated[float, Field(gt=0, lt=1)] = 1 / 3
    """Share of a rung's points that go on to the next."""
    length: Key | None = None
    """The key that is multiplied by a rung's share; null means recipe.budget.train."""
    stop_worse_by: Annotated[float, Field(gt=0)] | None = None
    """Bits per byte above the best run of its rung at which a run is stopped while training; null never stops a run."""
    startup: Annotated[int, Field(ge=1)] = 8
    """Number of random points before the optimizer starts to propose."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the random draws."""

    @model_validator(mode="after")
    def check_rungs(self) -> "Search":
        for before, after in zip(self.rungs, self.rungs[1:], strict=False):
            if after.share < before.share or (after.share == before.share and after.seeds <= before.seeds):
                raise ValueError("each rung must have a larger share than the one before it, or more seeds")
        return self


def is_tag(part: str | int) -> bool:
    """Return whether a part of a pydantic error's location names a validator, and not a key of the spec."""
    return isinstance(part, str) and re.fullmatch(r"[\w.-]+", part) is None


def read_search(document: object, place: str) -> Search:
    """Validate the `search:` block of a spec.

    Raises:
        SpecError: it is wrong, at file:line.
    """
    try:
        return Search.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in ("search", *first["loc"]) if not is_tag(part))
        raise SpecError(f"{place}: {path}: {first['msg'].removeprefix('Value error, ')}") from None
