"""The `search:` of a spec: which keys may vary, and how far a point is taken before it is believed."""

from typing import Annotated

from pydantic import Field, JsonValue, TypeAdapter, ValidationError, model_validator

from pgolf.errors import SpecError
from pgolf.specs.parts import SpecPart
from pgolf.specs.sweeps import Key, Range

LENGTH = "recipe.budget.train"


class Rung(SpecPart):
    """A stage of belief: how long a point is trained, and with how many seeds."""

    share: Annotated[float, Field(gt=0, le=1)]
    """Of the spec's own budget."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    """How many seeds its score is the mean of."""


class Search(SpecPart):
    """What `pgolf search` looks through, and how."""

    values: Annotated[dict[Key, Range | Annotated[list[JsonValue], Field(min_length=1)]], Field(min_length=1)]
    """Ranges, or lists to choose from, by dotted key."""
    rungs: Annotated[list[Rung], Field(min_length=1)] = [
        Rung(share=0.25),
        Rung(share=1.0),
        Rung(share=1.0, seeds=3),
    ]
    """What a point goes through while it is among the best."""
    keep: Annotated[float, Field(gt=0, lt=1)] = 1 / 3
    """The share of a rung's points that go on to the next."""
    length: Key | None = None
    """The key that a rung's share multiplies; null is recipe.budget.train."""
    stop_worse_by: Annotated[float, Field(gt=0)] | None = None
    """A run ends once its training lies so many bits per byte above the best run of its rung; null lets it finish."""
    startup: Annotated[int, Field(ge=1)] = 8
    """Points drawn at random before the optimizer begins to learn from them."""
    seed: Annotated[int, Field(ge=0)] = 0
    """What the draws follow from."""

    @model_validator(mode="after")
    def check_rungs(self) -> "Search":
        for before, after in zip(self.rungs, self.rungs[1:], strict=False):
            if after.share < before.share or (after.share == before.share and after.seeds <= before.seeds):
                raise ValueError("each rung has a larger share than the one before it, or more seeds")
        return self


SEARCH = TypeAdapter(Search)


def read_search(document: object, place: str) -> Search:
    """The search of a spec.

    Raises: SpecError with the place.
    """
    try:
        return SEARCH.validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(map(str, ("search", *first["loc"])))
        raise SpecError(f"{place}: {path}: {first['msg'].removeprefix('Value error, ')}") from None
