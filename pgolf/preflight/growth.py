"""How time and memory grow with width, depth, vocabulary and context: the same recipe with one of them changed."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pgolf.preflight.duration import assumption
from pgolf.preflight.memory import memory_bytes
from trainer.recipe.inventory import inventory
from trainer.recipe.recipe import Recipe
from trainer.recipe.strict import RecipeConflict
from trainer.recipe.topology import FlatTopology, LoopedTopology, RecursiveTopology


@dataclass(frozen=True, slots=True)
class Growth:
    """A recipe with one thing changed, and what that takes."""

    change: str
    parameters: int
    step_seconds: float
    tokens_a_second: float
    memory_bytes: int
    """Of each device, at the most."""


def growth_of(recipe: Recipe, gpu: str | None, cores: int, step_seconds: float | None) -> list[Growth]:
    """The recipe as it is, then each change. A measured step scales all that is assumed."""
    assumed = assumption(recipe, gpu, cores).step_seconds
    factor = 1.0 if step_seconds is None else step_seconds / assumed
    return [grown(change, changed, gpu, cores, factor) for change, changed in changes_of(recipe)]


def grown(change: str, recipe: Recipe, gpu: str | None, cores: int, factor: float) -> Growth:
    """What a changed recipe takes."""
    seconds = factor * assumption(recipe, gpu, cores).step_seconds
    parameters = sum(tensor.size for tensor in inventory(recipe.model, recipe.vocabulary_size))
    return Growth(change, parameters, seconds, recipe.schedule.batch_tokens / seconds, memory_bytes(recipe, gpu))


def changes_of(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """The recipe itself, then with one thing changed, as far as the change makes a recipe."""
    yield "as it is", recipe
    model, schedule, size = recipe.model, recipe.schedule, recipe.vocabulary_size
    wider = model.width + model.attention.heads * max(2, round(model.width / model.attention.heads / 4 / 2) * 2)
    topology, deeper = deeper_topology(recipe)
    length = 2 * schedule.sequence_tokens
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        (f"width {wider}", "model", {"width": wider}),
        (deeper, "model", {"topology": topology}),
        (f"vocabulary {2 * size:,}", "data", {"vocabulary_size": 2 * size}),
        (f"sequences of {length:,}", "schedule", {"sequence_tokens": length}),
    ]
    for name, slot, change in attempts:
        with suppress(RecipeConflict):
            yield name, replace(recipe, **{slot: replace(getattr(recipe, slot), **change)})


def deeper_topology(recipe: Recipe) -> tuple[Any, str]:
    """The topology with one layer, loop or round more, and what that is."""
    topology = recipe.model.topology
    match topology:
        case FlatTopology():
            return replace(topology, layers=topology.layers + 1), f"{topology.layers + 1} layers"
        case LoopedTopology():
            return replace(topology, loops=topology.loops + 1), f"{topology.loops + 1} loops"
        case RecursiveTopology():
            executions = topology.executions + topology.blocks
            return replace(topology, executions=executions), f"{executions} executions"
