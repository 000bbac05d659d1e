"""Topologies: the blocks, the order in which they run, and how they are connected."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, Flag, Fraction, Positive, RecipeConflict, Strict, Whole

Layers = Annotated[int, Strict(ge=0, le=1024)]
Skips = Literal["none", "unet", "gated_unet"]
Scales = Literal["block", "execution"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wiring:
    """Fields of every topology."""

    __pydantic_config__: ClassVar = CHECKED
    skips: Skips = field(
        default="none",
        metadata={
            "description": "`unet`: outputs of early executions are added to the inputs of late ones, last first, "
            "times learned vectors w. `gated_unet`: the input is g x + (1 - g) w skip, where the learned g "
            "starts at 1/2 (#861)."
        },
    )
    input_mix: Flag = field(
        default=False,
        metadata={
            "description": "Whether each block reads a learned mix of the stream and the first embedding "
            "(community names: resid_mix, x0)."
        },
    )
    scales: Scales = field(
        default="block",
        metadata={"description": "Whether learned scales and input mixes belong to each block or to each execution."},
    )
    depth_scale: Flag = field(
        default=False,
        metadata={
            "description": "Whether normalized inputs of the n-th block, from 1, are divided by sqrt(n) (LN scale)."
        },
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recurrence:
    """A range of layers that runs several times after a share of the budget, and once until then (#1394)."""

    __pydantic_config__: ClassVar = CHECKED
    first: Whole
    """First layer of the range, from 0."""
    last: Whole
    """Last layer of the range, included."""
    loops: Count
    """Number of times that the range runs, including the first."""
    from_progress: Fraction = 0.5
    """Share of the budget after which the range is repeated."""

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise RecipeConflict(f"first {self.first} comes after last {self.last}", "first")


@dataclass(frozen=True, kw_only=True, slots=True)
class FlatTopology(Wiring):
    """Blocks one after another, each executed once. With skips, the first half of the executions feeds the second."""

    kind: Literal["flat"]
    layers: Annotated[int, Strict(ge=1, le=1024)]
    """Number of blocks."""
    parallel: Literal["none", "sum", "lanes"] = "none"
    """How attention and MLP of late layers are connected. `none`: the MLP follows attention. `sum`: both read the same
    stream, and both outputs are added (GPT-J). `lanes`: each reads a stream of its own, which gets learned shares of
    both outputs (#1204); the last output is the mean of the streams.
    """
    parallel_from: Whole = 0
    """First layer, from 0, to which `parallel` applies."""
    skips_into_first_lane: Flag = False
    """Whether the streams of `lanes` part before the skip of their first layer is added, which only the stream of
    attention then gets (#1530 and later). Without it both get it (#1529).
    """
    published_unused_lanes: Flag = False
    """Published quirk (#1529 and later): layers without lanes have the six factors of lanes too, and never use them.
    They take bytes of the artifact.
    """
    recurrence: Recurrence | None = None
    """A range of layers that runs several times; null has none."""

    def __post_init__(self) -> None:
        if self.recurrence is not None and self.recurrence.last >= self.layers:
            raise RecipeConflict(
                f"last {self.recurrence.last} is not a layer, expected at most {self.layers - 1}", "recurrence", "last"
            )
        if self.parallel != "none" and self.parallel_from >= self.layers:
            raise RecipeConflict(
                f"parallel_from {self.parallel_from} is not a layer, expected at most {self.layers - 1}",
                "parallel_from",
            )
        if self.recurrence is not None and self.scales == "execution":
            raise RecipeConflict(
                "scales: execution cannot be combined with recurrence, which changes the executions; use scales: block",
                "scales",
            )
        if self.recurrence is not None and self.recurrence.first < self.parallel_from <= self.recurrence.last:
            raise RecipeConflict(
                f"parallel_from {self.parallel_from} is inside the recurrent range {self.recurrence.first} to "
                f"{self.recurrence.last}; move it to the first layer of the range or behind it",
                "parallel_from",
            )
        if self.parallel != "lanes":
            for key in ("skips_into_first_lane", "published_unused_lanes"):
                if getattr(self, key):
                    raise RecipeConflict(f"{key} needs parallel: lanes, found {self.parallel}", key)
        if self.parallel == "lanes" and self.scales == "execution":
            raise RecipeConflict(
                "scales: execution cannot be combined with parallel: lanes; use scales: block", "scales"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopedTopology(Wiring):
    """Flat blocks, then blocks that run in several loops with shared weights, then flat blocks (flat and crawler).

    With skips, the flat blocks before the loops feed those after.
    """

    kind: Literal["looped"]
    flat_before: Layers
    """Number of flat blocks before the loops."""
    looped: Annotated[int, Strict(ge=1, le=1024)]
    """Number of blocks that run in every loop."""
    loops: Annotated[int, Strict(ge=1, le=64)]
    """Number of loops."""
    flat_after: Layers
    """Number of flat blocks after the loops."""
    blend: Fraction | None = None
    """Initial share of the output of a looped block in the stream, from the second loop on; learned per loop. null
    replaces the stream by the output.
    """
    mlp_ratio: Positive | None = None
    """Hidden width divided by model width in looped blocks; null uses `mlp.ratio`."""
    instructions: Whole = 0
    """Inner width of a learned low-rank map of the stream that is added to it before each loop; 0 has none."""
    published_dead_rows: Flag = False
    """Published quirk (#1579, #1817): skip weights for all flat blocks, of which only the first rows are used, and an
    unused blend for the first loop. They take bytes of the artifact.
    """

    def __post_init__(self) -> None:
        if self.skips == "gated_unet":
            raise RecipeConflict("skips: gated_unet needs kind: flat; use skips: unet", "skips")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecursiveTopology(Wiring):
    """Shared blocks in turn: execution i runs block i mod `blocks` (#927).

    With skips, the first half of the executions feeds the second.
    """

    kind: Literal["recursive"]
    blocks: Annotated[int, Strict(ge=1, le=1024)]
    """Number of blocks, each with its own weights."""
    executions: Annotated[int, Strict(ge=1, le=1024)]
    """Number of executions; at least `blocks`."""

    def __post_init__(self) -> None:
        if self.executions < self.blocks:
            raise RecipeConflict(
                f"executions {self.executions} is less than blocks {self.blocks}, so some would never run", "executions"
            )
        if self.skips == "gated_unet":
            raise RecipeConflict("skips: gated_unet needs kind: flat; use skips: unet", "skips")


TopologyRecipe = FlatTopology | LoopedTopology | RecursiveTopology
