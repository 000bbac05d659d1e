"""The model: width, topology, attention, MLP, embedding."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.attention import GroupedQuery
from trainer.recipe.embedding import EmbeddingRecipe
from trainer.recipe.local import LocalAttention
from trainer.recipe.mlp import MlpRecipe
from trainer.recipe.strict import CHECKED, Count, Flag, NonNegative, RecipeConflict
from trainer.recipe.topology import FlatTopology, LoopedTopology, TopologyRecipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpt:
    """A decoder-only transformer; its forward pass follows the execution plan of its topology."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["gpt"]
    width: Count
    """Width of the residual stream."""
    topology: TopologyRecipe = field(metadata={"discriminator": "kind"})
    """Blocks, and the order in which they run."""
    attention: GroupedQuery | LocalAttention = field(metadata={"discriminator": "kind"})
    """Attention of every block."""
    mlp: MlpRecipe = field(metadata={"discriminator": "kind"})
    """MLP of every block."""
    embedding: EmbeddingRecipe = field(metadata={"discriminator": "kind"})
    """Input embeddings and output logits."""
    softcap: NonNegative = 30.0
    """Logits become softcap * tanh(logits / softcap); 0 leaves them unchanged."""
    asymmetric_softcap: Flag = False
    """Whether positive and negative logits each have a softcap that is trained, initially `softcap`. No public record
    does so: the two caps of #1923, which #1945 to #2140 took over, get no gradient and stay where they began.
    """
    published_unused_softcaps: Flag = False
    """Published quirk (#1945 to #2140): two more softcaps are stored, and neither trained nor used."""
    initial_matrices: Literal["uniform", "orthogonal"] = "uniform"
    """Initialization of the matrices that read the residual stream: `uniform` between -1 / sqrt(columns) and
    1 / sqrt(columns), or `orthogonal`. Projections back into the stream start at zero.
    """

    def __post_init__(self) -> None:
        heads, dims = self.attention.heads, self.attention.rope.dims
        if self.width % heads:
            raise RecipeConflict(f"heads {heads} does not divide width {self.width}", "attention", "heads")
        for ratio, path in self.mlp_ratios():
            if round(ratio * self.width) < 2:
                raise RecipeConflict(f"ratio {ratio} of width {self.width} gives fewer than 2 hidden units", *path)
        if self.head_width % 2:
            raise RecipeConflict(
                f"width / heads = {self.head_width} is odd; RoPE needs an even head width", "attention", "heads"
            )
        if dims is not None and (dims % 2 or dims > self.head_width):
            raise RecipeConflict(
                f"rope dims {dims} is not an even number up to the head width {self.head_width}",
                *("attention", "rope", "dims"),
            )
        if self.asymmetric_softcap and not self.softcap:
            raise RecipeConflict("asymmetric_softcap needs softcap above 0 as initial value", "softcap")
        if self.asymmetric_softcap and self.published_unused_softcaps:
            raise RecipeConflict(
                "published_unused_softcaps cannot be combined with asymmetric_softcap, which uses them",
                "published_unused_softcaps",
            )
        self.check_loops()

    def check_loops(self) -> None:
        """Check the fields that have one value per loop or per execution against the topology.

        Raises:
            RecipeConflict: their number does not match, or the number of executions changes during training.
        """
        if self.attention.value_residual and isinstance(self.topology, FlatTopology) and self.topology.recurrence:
            raise RecipeConflict(
                "value_residual has a factor per execution, whose number topology.recurrence changes; use one of them",
                "attention",
                "value_residual",
            )
        divisors = self.attention.rope.loop_divisors
        loops = self.topology.loops if isinstance(self.topology, LoopedTopology) else 0
        if divisors and len(divisors) != loops:
            raise RecipeConflict(
                f"{len(divisors)} loop_divisors for {loops} loops, expected one per loop",
                "attention",
                "rope",
                "loop_divisors",
            )

    def mlp_ratios(self) -> list[tuple[float, tuple[str, ...]]]:
        """Return every MLP ratio of the model with the path of its key."""
        ratios: list[tuple[float, tuple[str, ...]]] = [(self.mlp.ratio, ("mlp", "ratio"))]
        if isinstance(self.topology, LoopedTopology) and self.topology.mlp_ratio:
            ratios.append((self.topology.mlp_ratio, ("topology", "mlp_ratio")))
        return ratios

    @property
    def head_width(self) -> int:
        return self.width // self.attention.heads

    @property
    def kv_width(self) -> int:
        return self.head_width * self.attention.kv_heads

    def hidden_width(self, block: str) -> int:
        """Return the hidden width of the MLP of a block."""
        ratio = self.mlp.ratio
        if isinstance(self.topology, LoopedTopology) and block.startswith("looped."):
            ratio = self.topology.mlp_ratio or ratio
        return round(ratio * self.width)
