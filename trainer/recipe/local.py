"""Local components: a class in a file of the user, in place of one of the trainer."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from trainer.recipe.attention import Rope
from trainer.recipe.strict import CHECKED, Count, Flag, Option, Positive, RecipeConflict

Dimension = Count | Literal["width", "hidden", "heads", "kv_width", "head_width"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalCode:
    """A class in a file of the user. In a spec: `kind: local:FILE.py:CLASS`."""

    __pydantic_config__: ClassVar = CHECKED
    file: str = field(metadata={"description": "Path of the file, relative to the file that names it."})
    class_name: str = field(metadata={"description": "Name of the class in the file."})
    options: dict[str, Option] = field(
        default_factory=dict, metadata={"description": "Further keyword arguments of the class."}
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalAttention(LocalCode):
    """Attention of your own, constructed as CLASS(model, **options)."""

    kind: Literal["local"]
    heads: Count
    """Number of query heads; divides the model width."""
    kv_heads: Count
    """Number of key/value heads; divides `heads`."""
    rope: Rope = field(default_factory=Rope)
    """Rotary position embedding, passed to the class with each execution."""
    exclusive: tuple[str, ...] = ()
    """Patterns of the blocks whose executions ask for exclusive self-attention."""
    value_residual: Flag = False
    """Whether executions are given the values of the first one."""
    tensors: dict[str, tuple[Dimension, ...]]
    """Its parameters: name to shape, as numbers or as `width`, `heads`, `kv_width` or `head_width`."""

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise RecipeConflict(f"kv_heads {self.kv_heads} does not divide heads {self.heads}", "kv_heads")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalMlp(LocalCode):
    """An MLP of your own, constructed as CLASS(width, hidden_width, **options)."""

    kind: Literal["local"]
    ratio: Positive
    """Hidden width divided by model width."""
    tensors: dict[str, tuple[Dimension, ...]]
    """Its parameters: name to shape, as numbers or as `width` or `hidden`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalOptimizer(LocalCode):
    """An optimizer of your own, constructed as CLASS(tensors, parameters, **options)."""

    kind: Literal["local"]


def local_codes(value: Any) -> list[Any]:
    """Return every local component in a recipe or in a part of one."""
    if isinstance(value, dict):
        return [code for member in value.values() for code in local_codes(member)]
    slots = getattr(value, "__dataclass_fields__", {})
    if "class_name" in slots:
        return [value]
    return [code for name in slots for code in local_codes(getattr(value, name))]
