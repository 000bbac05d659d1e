"""How the numbers of a run are computed. What makes a run fast stands here, each with the word that turns it off."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, RecipeConflict

Precision = Literal["float32", "bfloat16_on_gpu", "bfloat16"]
AttentionKernel = Literal["automatic", "measured", "library", "flash", "cudnn", "padded", "flex", "blocked"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compute:
    """Fast paths. The plain ones compute the same, up to rounding, and are what tests hold the fast ones to."""

    __pydantic_config__: ClassVar = CHECKED
    precision: Precision = "bfloat16_on_gpu"
    """Where products are made of bfloat16: nowhere, on a GPU, or also on a CPU that has instructions for them. Weights,
    their averages and the optimizer's state are float32 everywhere."""
    stream: Precision = "bfloat16_on_gpu"
    """Where the stream between blocks is kept in bfloat16, as public scripts keep it: at most where products are made
    of it. What is added to it is added up in float32 first."""
    compile: Literal["never", "on_gpu", "always"] = "on_gpu"
    """Where torch.compile makes one graph of a training step's forward and backward pass, of the forward passes that
    score most of a text, and of a step of adaptation. On a CPU that takes a C++ compiler and up to a minute each."""
    attention: AttentionKernel = "automatic"
    """What computes attention: the kernel that torch chooses; its FlashAttention or its cuDNN, where there is no mask;
    the first with heads padded to a width that GPUs like; FlexAttention, a GPU's, for documents kept apart in compiled
    steps; or blocks of queries, for CPUs. `measured` is the fastest of them in a trial before training, printed and
    kept in run.json, which need not come out the same again; `automatic` is blocks on a CPU and, on a GPU, what was the
    fastest for such heads where it was measured (docs/log/2026-11-26.md)."""
    loss: Literal["chunked", "plain"] = "chunked"
    """Whether logits of a training step exist a chunk at a time, or all at once in float32."""
    orthogonalization: Literal["shared_out", "replicated"] = "shared_out"
    """Whether the processes of a run each orthogonalise their share of Muon's matrices, or all of them every one."""
    scoring: Literal["together", "one_by_one"] = "together"
    """Whether windows of one shape are scored together, the last block no further than what is scored, and steps of
    adaptation shared out over processes; or each window by itself, all of it, and each step by every process."""

    def __post_init__(self) -> None:
        if self.stream == "bfloat16" != self.precision:
            raise RecipeConflict(
                f"stream: bfloat16 wants precision: bfloat16, and not {self.precision}: "
                "a stream is no narrower than the products that it is made of",
                "stream",
            )
