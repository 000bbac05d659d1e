"""Experiment: what a spec file becomes."""

import re
from functools import cache
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from pgolf.errors import SpecError
from pgolf.specs.parts import Launch, SpecPart, Spend, Stop
from pgolf.specs.script import Script
from trainer.recipe.recipe import Recipe

Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


def name_from(text: str, default: str) -> str:
    """Return a spec's name made from a text, such as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].rstrip("-") or default


class Experiment(SpecPart):
    """A recipe for the bundled trainer, or a training script of the user's own; with seeds, place and limits."""

    model_config = ConfigDict(serialize_by_alias=True)

    spec_version: Annotated[int, Field(ge=1, le=1)]
    """Version of this format."""
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Short name; the run's folder begins with it."""
    question: str | None = None
    """What this experiment should find out."""
    ruleset: str = "parameter_golf"
    """The contest whose limits apply."""
    seeds: Annotated[list[Seed], Field(min_length=1)] = [1337, 42, 2024]
    """Seeds, in the order in which they are used."""
    # model_construct takes a default without validation, which would build pydantic's validators at every start.
    launch: Launch = Launch.model_construct()
    """Where it runs."""
    spend: Spend = Spend.model_construct()
    """What it may cost."""
    stop: Stop = Stop.model_construct()
    """When it ends early."""
    given_recipe: Recipe | None = Field(default=None, alias="recipe")
    """What is trained and scored; the only part that reaches the artifact."""
    given_program: Script | None = Field(default=None, alias="program")
    """A training script to run in place of a recipe: its variables, its data and its packed model."""

    @model_validator(mode="after")
    def check_work(self) -> Self:
        if self.given_recipe is None and self.given_program is None:
            raise ValueError(
                "found neither `recipe` nor `program`; add one of them, or build on a spec that has one with `extends:`"
            )
        return self

    @property
    def work(self) -> Recipe | Script:
        """What is run."""
        return self.recipe if self.given_program is None else self.given_program

    @property
    def is_script(self) -> bool:
        """Return whether it runs a script in place of a recipe."""
        return self.given_program is not None

    @property
    def recipe(self) -> Recipe:
        """The recipe.

        Raises:
            SpecError: the experiment runs a script.
        """
        if self.given_recipe is None:
            raise SpecError(f"{self.name} runs a script; this needs a spec with a recipe")
        return self.given_recipe

    @property
    def program(self) -> Script:
        """The script.

        Raises:
            SpecError: the experiment trains a recipe.
        """
        if self.given_program is None:
            raise SpecError(f"{self.name} trains a recipe; this needs a spec that runs a script")
        return self.given_program

    @property
    def processes(self) -> int:
        """Number of processes that share one run."""
        own = None if self.given_program is None else self.given_program.nproc
        return own or self.launch.world_size

    def with_recipe(self, recipe: Recipe) -> Self:
        """Return the experiment with another recipe."""
        return self.model_copy(update={"given_recipe": recipe})

    def as_json(self) -> dict[str, Any]:
        """Return every value, defaults included, in the form of a spec file."""
        absent = "given_recipe" if self.is_script else "given_program"
        document = self.model_dump(mode="json", exclude={absent})
        # pydantic's own dump leaves out what a dataclass of the trainer computes.
        return document if self.is_script else document | {"recipe": recipe_json(self.recipe)}


@cache
def recipe_adapter() -> TypeAdapter[Recipe]:
    """Return the serializer of recipes, which takes a tenth of a second to build."""
    return TypeAdapter(Recipe)


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Return every value of a recipe, defaults included, as JSON."""
    document: dict[str, Any] = recipe_adapter().dump_python(recipe, mode="json")
    return document
