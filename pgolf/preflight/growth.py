"""Growth of time and memory with width, depth, vocabulary and sequence length, each changed alone."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pgolf.errors import UsageError
from pgolf.preflight.duration import assume_speed
from pgolf.preflight.memory import memory_bytes
from pgolf.preflight.preflight import Preflight
from trainer.recipe.cores import allowed_cores
from trainer.recipe.inventory import inventory
from trainer.recipe.loader import DocumentRows
from trainer.recipe.recipe import Recipe
from trainer.recipe.strict import RecipeConflict
from trainer.recipe.topology import FlatTopology, LoopedTopology, RecursiveTopology


@dataclass(frozen=True, slots=True)
class Growth:
    """Time and memory of a recipe with one change."""

    change: str
    parameters: int
    step_seconds: float
    tokens_a_second: float
    memory_bytes: int
    """Peak bytes per device."""


def growth_of(preflight: Preflight) -> list[Growth]:
    """Return time and memory of the recipe, and of each change of it.

    Raises:
        UsageError: the spec runs a script, or its vocabulary size is not known.
    """
    spec = preflight.spec
    if spec.is_script or spec.recipe.data.vocabulary_size is None:
        raise UsageError(
            f"--growth needs a recipe whose vocabulary size is known, which {spec.name} is not; "
            "set it with --set recipe.data.vocabulary_size=N"
        )
    return recipe_growth(spec.recipe, spec.launch.gpu, allowed_cores(), preflight.step_seconds)


def recipe_growth(recipe: Recipe, gpu: str | None, cores: int, step_seconds: float | None) -> list[Growth]:
    """Return the growth of the unchanged recipe, then of each change. A measured step scales the assumed times."""
    assumed = assume_speed(recipe, gpu, cores).step_seconds
    factor = 1.0 if step_seconds is None else step_seconds / assumed
    return [growth_with(change, changed, gpu, cores, factor) for change, changed in changes_of(recipe)]


def growth_with(change: str, recipe: Recipe, gpu: str | None, cores: int, factor: float) -> Growth:
    """Return time and memory of a changed recipe."""
    seconds = factor * assume_speed(recipe, gpu, cores).step_seconds
    parameters = sum(tensor.size for tensor in inventory(recipe.model, recipe.vocabulary_size))
    return Growth(change, parameters, seconds, recipe.schedule.batch_tokens / seconds, memory_bytes(recipe, gpu))


def changes_of(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Yield the recipe itself, then each change of it that is a valid recipe."""
    yield "as it is", recipe
    model, schedule, size = recipe.model, recipe.schedule, recipe.vocabulary_size
    wider = model.width + model.attention.heads * max(2, round(model.width / model.attention.heads / 4 / 2) * 2)
    topology, deeper = deeper_topology(recipe)
    length = 2 * schedule.sequence_tokens
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        (f"width {wider}", "model", {"width": wider}),
        (deeper, "model", {"topology": topology}),
        (f"vocabulary {2 * size:,}", "data", {"vocabulary_size": 2 * size}),
    ]
    if not isinstance(schedule.loader, DocumentRows):  # whose rows hold sequences of any length
        attempts.append((f"sequences of {length:,}", "schedule", {"sequence_tokens": length}))
    for name, slot, change in attempts:
        with suppress(RecipeConflict):
            yield name, replace(recipe, **{slot: replace(getattr(recipe, slot), **change)})


def deeper_topology(recipe: Recipe) -> tuple[Any, str]:
    """Return the topology with one more layer, loop or round, and a description of it."""
    topology = recipe.model.topology
    match topology:
        case FlatTopology():
            return replace(topology, layers=topology.layers + 1), f"{topology.layers + 1} layers"
        case LoopedTopology():
            return replace(topology, loops=topology.loops + 1), f"{topology.loops + 1} loops"
        case RecursiveTopology():
            executions = topology.executions + topology.blocks
            return replace(topology, executions=executions), f"{executions} executions"
