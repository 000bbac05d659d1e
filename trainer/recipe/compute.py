"""How a run computes: number types and fast paths, each of which can be turned off."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, RecipeConflict

Precision = Literal["float32", "bfloat16_on_gpu", "bfloat16"]
AttentionKernel = Literal[
    "automatic", "measured", "library", "flash", "cudnn", "padded", "flex", "flash_attn", "blocked"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compute:
    """Number types and fast paths. With its plain path instead, a run computes the same up to rounding."""

    __pydantic_config__: ClassVar = CHECKED
    precision: Precision = "bfloat16_on_gpu"
    """Where matrix products use bfloat16: nowhere (`float32`), on GPUs (`bfloat16_on_gpu`), or also on CPUs with
    bfloat16 instructions (`bfloat16`). Weights, their averages and the optimizer state are always float32.
    """
    stream: Precision = "bfloat16_on_gpu"
    """Where the residual stream between blocks is stored in bfloat16, as in public scripts; it can be only where matrix
    products use bfloat16 too. Additions to it are computed in float32 first."""
    compile: Literal["never", "on_gpu", "always"] = "on_gpu"
    """Where torch.compile is used: for the forward and backward pass of training, the scoring passes of most windows,
    and adaptation steps. On a CPU each takes a C++ compiler and up to a minute.
    """
    attention: AttentionKernel = "automatic"
    """Attention kernel. `library`: the one that torch chooses. `flash`, `cudnn`: torch's FlashAttention or cuDNN, where
    no mask is needed. `padded`: `library` with head widths padded to a multiple of 8. `flex`: FlexAttention, for
    documents that are kept apart in compiled steps on GPUs. `flash_attn`: the package of this name, version 3 if it is
    installed, else 2. `blocked`: blocks of queries, for CPUs. `automatic`:
    `blocked` on a CPU; on a GPU the kernel that was fastest for such heads in docs/log/2026-11-26.md. `measured`: the
    fastest in a trial before training, printed and kept in run.json; two trials may choose differently. Documents that
    are kept apart are attended to one by one on a CPU and where products are float32, and otherwise all at once by
    torch's kernel for sequences of unequal lengths, but for `flex`.
    """
    loss: Literal["chunked", "plain"] = "chunked"
    """`chunked` computes the logits of a training step chunk by chunk; `plain` computes all of them at once, in
    float32.
    """
    orthogonalization: Literal["shared_out", "replicated"] = "shared_out"
    """`shared_out`: each process orthogonalizes a part of Muon's matrices. `replicated`: every process does all of
    them.
    """
    scoring: Literal["together", "one_by_one"] = "together"
    """`together`: windows of equal shape are scored in one batch, the last block computes only scored positions, and
    processes divide adaptation steps. `one_by_one`: each window is scored alone and in full, and every process computes
    whole adaptation steps."""

    def __post_init__(self) -> None:
        if self.stream == "bfloat16" != self.precision:
            raise RecipeConflict(
                f"stream: bfloat16 needs precision: bfloat16, found {self.precision}; "
                "the stream cannot be narrower than the matrix products",
                "stream",
            )
