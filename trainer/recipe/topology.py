"""Which blocks there are, in which order they run, and how their outputs meet."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, Flag, Fraction, Positive, RecipeConflict, Strict, Whole

Layers = Annotated[int, Strict(ge=0, le=1024)]
Skips = Literal["none", "unet", "gated_unet"]
Scales = Literal["block", "execution"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wiring:
    """What every topology has."""

    __pydantic_config__: ClassVar = CHECKED
    skips: Skips = field(
        default="none",
        metadata={
            "description": "unet: outputs of early executions enter late ones, last first, times learned vectors. "
            "gated_unet: as a learned mix g x + (1 - g) w skip, with g = 1/2 at first (#861)."
        },
    )
    input_mix: Flag = field(
        default=False,
        metadata={
            "description": "Each block reads a learned mix of the stream and of the first embedding "
            "(community: resid_mix, x0)."
        },
    )
    scales: Scales = field(
        default="block",
        metadata={
            "description": "Whether the learned scales and input mixes belong to a block or to each of its executions."
        },
    )
    depth_scale: Flag = field(
        default=False,
        metadata={"description": "Whether normed inputs of the n-th block, from 1, are divided by sqrt(n) (LN scale)."},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recurrence:
    """Layers that run several times once a share of the budget is spent; until then each runs once (#1394)."""

    __pydantic_config__: ClassVar = CHECKED
    first: Whole
    """First layer of the range, from 0."""
    last: Whole
    """Last layer of the range."""
    loops: Count
    """How often the range runs, the first time included."""
    from_progress: Fraction = 0.5
    """Share of the budget after which it does."""

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise RecipeConflict(f"first {self.first} comes after last {self.last}", "first")


@dataclass(frozen=True, kw_only=True, slots=True)
class FlatTopology(Wiring):
    """Blocks one after the other, each executed once. With skips the first half of the executions feeds the second."""

    kind: Literal["flat"]
    layers: Annotated[int, Strict(ge=1, le=1024)]
    """Number of blocks."""
    parallel: Literal["none", "sum", "lanes"] = "none"
    """What attention and MLP of late blocks read. none: one after the other. sum: the same stream, and both outputs are
    added (GPT-J). lanes: a stream each, with learned shares of both outputs (#1204); the mean leaves the model.
    """
    parallel_from: Whole = 0
    """The first layer that does."""
    recurrence: Recurrence | None = None
    """Layers that run several times."""

    def __post_init__(self) -> None:
        if self.recurrence is not None and self.recurrence.last >= self.layers:
            raise RecipeConflict(
                f"layer {self.recurrence.last} is not one of {self.layers}, from 0", "recurrence", "last"
            )
        if self.parallel != "none" and self.parallel_from >= self.layers:
            raise RecipeConflict(f"layer {self.parallel_from} is not one of {self.layers}, from 0", "parallel_from")
        if self.recurrence is not None and self.scales == "execution":
            raise RecipeConflict(
                "a recurrence changes which execution is which; scales belong to blocks then", "scales"
            )
        if self.recurrence is not None and self.recurrence.first < self.parallel_from <= self.recurrence.last:
            raise RecipeConflict("parallel layers begin inside the recurrent range", "parallel_from")
        if self.parallel == "lanes" and self.scales == "execution":
            raise RecipeConflict("lanes have shares of their own; scales belong to blocks", "scales")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopedTopology(Wiring):
    """Flat blocks, then blocks whose weights run in several loops, then flat blocks (flat and crawler).

    With skips the flat blocks before feed those after.
    """

    kind: Literal["looped"]
    flat_before: Layers
    """Flat blocks before the loops."""
    looped: Annotated[int, Strict(ge=1, le=1024)]
    """Blocks that share their weights over the loops."""
    loops: Annotated[int, Strict(ge=1, le=64)]
    """How often they run."""
    flat_after: Layers
    """Flat blocks after the loops."""
    blend: Fraction | None = None
    """Initial share of a looped block's output in the stream from the second loop on, learned by loop; null replaces
    the stream.
    """
    mlp_ratio: Positive | None = None
    """Hidden units per unit of width in looped blocks; null: as in the others."""
    instructions: Whole = 0
    """Inner width of a learned vector field added before each loop; 0 has none."""
    published_dead_rows: Flag = False
    """Quirk of #1579 and #1817: skip weights for as many flat blocks as there are, of which the first rows are used,
    and a blend for the first loop that never blends. The artifact pays for them.
    """

    def __post_init__(self) -> None:
        if self.skips == "gated_unet":
            raise RecipeConflict("gated skips are for flat topologies", "skips")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecursiveTopology(Wiring):
    """Shared blocks in turn: execution i runs block i mod `blocks` (#927). With skips the first half of the executions
    feeds the next.
    """

    kind: Literal["recursive"]
    blocks: Annotated[int, Strict(ge=1, le=1024)]
    """Blocks with weights of their own."""
    executions: Annotated[int, Strict(ge=1, le=1024)]
    """How many run."""

    def __post_init__(self) -> None:
        if self.executions < self.blocks:
            raise RecipeConflict(f"{self.executions} executions never reach some of {self.blocks} blocks", "executions")
        if self.skips == "gated_unet":
            raise RecipeConflict("gated skips are for flat topologies", "skips")


TopologyRecipe = FlatTopology | LoopedTopology | RecursiveTopology
