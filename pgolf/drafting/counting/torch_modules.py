"""The learned tensors of the modules of torch.nn, by the arguments of their constructors.

Source: the documentation of torch.nn, version 2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pgolf.drafting.counting.arithmetic import product_of
from pgolf.drafting.counting.objects import UNKNOWN, Learned, Unknown

Arguments = Mapping[str, Any]
Dimensions = Mapping[str, Sequence[Any] | None]
"""Dimensions of a module's tensors by their names; None for a tensor that it does not have."""


@dataclass(frozen=True, slots=True)
class TorchModule:
    """A module of torch.nn with learned tensors."""

    parameters: str
    """Names of its constructor's parameters in order, as far as they decide on tensors."""
    tensors: Callable[[Arguments], Dimensions]
    defaults: Arguments = field(default_factory=dict)


def optional(flag: Any, *dimensions: Any) -> Sequence[Any] | None:
    """Return the dimensions of a tensor that a flag turns on; if the flag is unknown, so are they."""
    if isinstance(flag, Unknown):
        return [UNKNOWN]
    return dimensions if flag else None


def linear(a: Arguments) -> Dimensions:
    width = a["out_features"]
    return {"weight": (width, a["in_features"]), "bias": optional(a["bias"], width)}


def embedding(a: Arguments) -> Dimensions:
    return {"weight": (a["num_embeddings"], a["embedding_dim"])}


def normalization(shape: str, flag: str) -> Callable[[Arguments], Dimensions]:
    """Return the tensors of a normalization with these names of its shape and of the flag for its weight."""

    def tensors(a: Arguments) -> Dimensions:
        size = product_of([a[shape]])
        weight = optional(a[flag], UNKNOWN if size is None else size)
        return {"weight": weight, "bias": weight and optional(a["bias"], *weight)}

    return tensors


def convolution(axes: int) -> Callable[[Arguments], Dimensions]:
    """Return the tensors of a convolution over some axes."""

    def tensors(a: Arguments) -> Dimensions:
        kernel, groups, inputs, width = a["kernel_size"], a["groups"], a["in_channels"], a["out_channels"]
        is_whole = isinstance(inputs, int) and isinstance(groups, int) and groups > 0
        sizes = kernel if isinstance(kernel, list | tuple) and len(kernel) == axes else [kernel] * axes
        per_group = inputs // groups if is_whole else UNKNOWN
        return {"weight": (width, per_group, *sizes), "bias": optional(a["bias"], width)}

    return tensors


def attention(a: Arguments) -> Dimensions:
    """Return the tensors of attention whose keys and values are as wide as its queries."""
    is_usual = all(a[name] is None for name in ("kdim", "vdim")) and a["add_bias_kv"] is False
    width = a["embed_dim"] if is_usual else UNKNOWN
    return {
        "in_proj_weight": (3, width, width),
        "in_proj_bias": optional(a["bias"], 3, width),
        "out_proj.weight": (width, width),
        "out_proj.bias": optional(a["bias"], width),
    }


def bilinear(a: Arguments) -> Dimensions:
    width = a["out_features"]
    return {"weight": (width, a["in1_features"], a["in2_features"]), "bias": optional(a["bias"], width)}


BIASED = {"bias": True}
CONVOLUTION = "in_channels out_channels kernel_size stride padding dilation groups bias"
CONVOLVED = {"groups": 1, "bias": True}
BATCH, BATCHED = "num_features eps momentum affine", {"affine": True, "bias": True}
TABLE, LAYER = "num_embeddings embedding_dim", "normalized_shape eps elementwise_affine"
TORCH_MODULES: Mapping[str, TorchModule] = {
    "Linear": TorchModule("in_features out_features bias", linear, BIASED),
    "Bilinear": TorchModule("in1_features in2_features out_features bias", bilinear, BIASED),
    "Embedding": TorchModule(TABLE, embedding),
    "EmbeddingBag": TorchModule(TABLE, embedding),
    "LayerNorm": TorchModule(
        f"{LAYER} bias", normalization("normalized_shape", "elementwise_affine"), {"elementwise_affine": True} | BIASED
    ),
    "RMSNorm": TorchModule(
        LAYER, normalization("normalized_shape", "elementwise_affine"), {"elementwise_affine": True, "bias": False}
    ),
    "GroupNorm": TorchModule(
        "num_groups num_channels eps affine", normalization("num_channels", "affine"), {"affine": True} | BIASED
    ),
    "BatchNorm1d": TorchModule(BATCH, normalization("num_features", "affine"), BATCHED),
    "BatchNorm2d": TorchModule(BATCH, normalization("num_features", "affine"), BATCHED),
    "Conv1d": TorchModule(CONVOLUTION, convolution(1), CONVOLVED),
    "Conv2d": TorchModule(CONVOLUTION, convolution(2), CONVOLVED),
    "Conv3d": TorchModule(CONVOLUTION, convolution(3), CONVOLVED),
    "PReLU": TorchModule("num_parameters", lambda a: {"weight": (a["num_parameters"],)}, {"num_parameters": 1}),
    "MultiheadAttention": TorchModule(
        "embed_dim num_heads dropout bias add_bias_kv add_zero_attn kdim vdim",
        attention,
        {"add_bias_kv": False, "kdim": None, "vdim": None} | BIASED,
    ),
}
WITHOUT_TENSORS = frozenset((
    "Module", "Identity", "ReLU", "ReLU6", "LeakyReLU", "GELU", "SiLU", "Mish", "Sigmoid", "Tanh", "Softplus",
    "ELU", "CELU", "SELU", "Hardtanh", "Hardswish", "Softmax", "LogSoftmax", "GLU", "Dropout", "Dropout1d",
    "Dropout2d", "AlphaDropout", "Flatten", "Unflatten", "ZeroPad1d", "ConstantPad1d", "MaxPool1d", "AvgPool1d",
    "AdaptiveAvgPool1d", "AdaptiveMaxPool1d", "Fold", "Unfold", "Upsample", "PixelShuffle", "CrossEntropyLoss",
    "MSELoss", "NLLLoss", "BCEWithLogitsLoss", "L1Loss", "KLDivLoss", "CosineSimilarity", "PairwiseDistance",
    "Buffer",
))  # fmt: skip
LISTS, DICTIONARIES = ("ModuleList", "ParameterList", "Sequential"), ("ModuleDict", "ParameterDict")


def tensors_of_torch(name: str, arguments: Sequence[Any], keywords: Arguments, place: str) -> dict[str, Learned]:
    """Return the learned tensors of a module of torch.nn that has some.

    Args:
        name: a key of TORCH_MODULES.
    """
    module = TORCH_MODULES[name]
    names = module.parameters.split()
    given = dict.fromkeys(names, UNKNOWN) | dict(module.defaults)
    given |= dict(zip(names, arguments, strict=False)) | dict(keywords)
    sizes = module.tensors(given).items()
    return {tensor: Learned(product_of(each), place) for tensor, each in sizes if each is not None}
