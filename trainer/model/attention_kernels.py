"""The choice of an attention kernel. All of them compute the same up to rounding, at different speeds."""

from functools import partial

from torch.nn.attention import SDPBackend

from trainer.model.attention_function import AttentionFunction
from trainer.model.blocked_attention import blocked_attention
from trainer.model.library_attention import HEAD_MULTIPLE, library_attention, padded_attention, pinned_attention
from trainer.model.segments import Segments
from trainer.recipe.compute import AttentionKernel

PINNED = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def resolve_kernel(word: AttentionKernel, device_type: str, head_width: int) -> AttentionKernel:
    """Return the kernel that a recipe's word stands for: by default the one that won the benchmarks on each device."""
    if word not in ("automatic", "measured"):
        return word
    if device_type == "cpu":
        return "blocked"
    return "padded" if head_width % HEAD_MULTIPLE else "library"


def make_attention_function(
    word: AttentionKernel, device_type: str, head_width: int, segments: Segments | None = None
) -> AttentionFunction:
    """Return the attention that a recipe's word stands for, within segments if there are any."""
    kernel = resolve_kernel(word, device_type, head_width)
    attend = attention_of_rows(kernel)
    if segments is not None:
        from trainer.model.segment_attention import make_segment_attention

        return make_segment_attention(kernel, attend, segments)
    return attend


def attention_of_rows(kernel: AttentionKernel) -> AttentionFunction:
    """Return causal attention over whole rows, by a kernel."""
    match kernel:
        case "flash" | "cudnn":
            return partial(pinned_attention, PINNED[kernel])
        case "padded":
            return padded_attention
        case "blocked":
            return blocked_attention
        case _:
            return library_attention
