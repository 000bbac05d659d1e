"""How the numbers of a run are computed. What makes a run fast stands here, each with the word that turns it off."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED

Precision = Literal["float32", "bfloat16_on_gpu", "bfloat16"]
AttentionKernel = Literal["automatic", "library", "padded", "blocked"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compute:
    """Fast paths. The plain ones compute the same, up to rounding, and are what tests hold the fast ones to."""

    __pydantic_config__: ClassVar = CHECKED
    precision: Precision = "bfloat16_on_gpu"
    """Where products are made of bfloat16: nowhere, on a GPU, or also on a CPU that has instructions for them. Weights,
    their averages and the optimizer's state are float32 everywhere."""
    compile: Literal["never", "on_gpu", "always"] = "on_gpu"
    """Where torch.compile makes one graph of a training step's forward and backward pass. On a CPU that takes a C++
    compiler and up to a minute."""
    attention: AttentionKernel = "automatic"
    """What computes attention: torch's own kernel; the same with heads padded to a width that tensor cores like; blocks
    of queries, for CPUs; or, automatic, blocks on a CPU and torch's own elsewhere."""
    loss: Literal["chunked", "plain"] = "chunked"
    """Whether logits of a training step exist a chunk at a time, or all at once in float32."""
    orthogonalization: Literal["shared_out", "replicated"] = "shared_out"
    """Whether the processes of a run each orthogonalise their share of Muon's matrices, or all of them every one."""
