"""Where adapters of documents stand: at a matrix, or beside a branch of an execution."""

from collections import Counter
from dataclasses import dataclass

from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import DocumentLora
from trainer.recipe.inventory import MATRIX_GROUPS, inventory
from trainer.recipe.patterns import matches_any
from trainer.runtime.failure import RunFailure

# The last matrix of a branch, by the first one, which reads what the branch reads.
BRANCHES = {".attention.output": ".attention.query", ".mlp.down": ".mlp.up"}


@dataclass(frozen=True, slots=True)
class Place:
    """A matrix whose products adapters change, or hear."""

    number: int
    rows: int
    columns: int
    """Of the adapter: those of the matrix, or of all of the branch that ends with it."""
    visits: int
    """Pairs of factors here, one for each product of a forward pass; 0 if its products are only heard."""
    begins: str = ""
    """The last matrix of the branch that begins here; empty if none does."""
    ends: str = ""
    """Its own name, if the adapter stands beside the branch that ends here."""


def adapter_places(model: GptModel, recipe: DocumentLora) -> dict[int, Place]:
    """Return the places by the id of the matrix.

    Raises:
        RunFailure: no matrix has adapters.
    """
    named, shapes = dict(model.named_parameters()), inventory(model.recipe, len(model.embedding.tokens))
    head = "embedding.tokens" if model.head is None else "head"
    names = [tensor.name for tensor in shapes if tensor.group in MATRIX_GROUPS]
    chosen = [name for name in (*names, head) if matches_any(recipe.learn, name)]
    visits = Counter(execution.block for execution in model.plan)
    found: dict[int, Place] = {}
    for number, name in enumerate(chosen):
        rows, columns = named[name].shape
        block = name.rsplit(".", 2)[0]
        count = 1 if recipe.pairs == "matrix" or name == head else visits[block]
        is_inside = ".mlp." in name and not name.endswith(".mlp.down") and f"{block}.mlp.down" in named
        if recipe.pairs == "visit" and is_inside:
            continue  # the adapter of an MLP stands beside all of it
        first = first_of_branch(name) if recipe.pairs == "visit" else None
        if first is None or first not in named:
            found[id(named[name])] = merged(found.get(id(named[name])), Place(number, rows, columns, count))
            continue
        reader = named[first]
        found[id(named[name])] = Place(number, rows, reader.size(1), count, ends=name)
        heard = Place(number, reader.size(0), reader.size(1), 0, begins=name)
        found[id(reader)] = merged(found.get(id(reader)), heard)
    if not any(place.visits for place in found.values()):
        raise RunFailure("recipe.evaluation.learn matches no matrix of the model")
    return found


def first_of_branch(name: str) -> str | None:
    """Return the first matrix of the branch that ends with a matrix; None if none does."""
    return next((name.removesuffix(last) + first for last, first in BRANCHES.items() if name.endswith(last)), None)


def merged(one: Place | None, other: Place) -> Place:
    """Return the place of a matrix that has adapters and with which a branch begins."""
    if one is None:
        return other
    owner = one if one.visits else other
    return Place(owner.number, owner.rows, owner.columns, owner.visits, begins=one.begins or other.begins)
