"""Components that are not the project's: a class in a file of the user's own."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from trainer.recipe.attention import Rope
from trainer.recipe.strict import CHECKED, Count, Flag, Option, Positive, RecipeConflict

Dimension = Count | Literal["width", "hidden", "heads", "kv_width", "head_width"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalCode:
    """A class of the user's. In a spec: `kind: local:FILE.py:CLASS`."""

    __pydantic_config__: ClassVar = CHECKED
    file: str = field(metadata={"description": "The file, relative to the one that names it."})
    class_name: str = field(metadata={"description": "The class in it."})
    options: dict[str, Option] = field(
        default_factory=dict, metadata={"description": "What the class is given besides, by name."}
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalAttention(LocalCode):
    """Attention of the user's own, made as CLASS(model, **options)."""

    kind: Literal["local"]
    heads: Count
    """Query heads."""
    kv_heads: Count
    """Key/value heads."""
    rope: Rope = field(default_factory=Rope)
    """Rotary position embedding, which each visit brings along."""
    exclusive: tuple[str, ...] = ()
    """Patterns of the blocks whose visits ask for exclusive self-attention."""
    value_residual: Flag = False
    """Whether visits bring the first execution's values."""
    tensors: dict[str, tuple[Dimension, ...]]
    """Its parameters: name and shape, in numbers or as width, heads, kv_width, head_width."""

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise RecipeConflict(f"kv_heads {self.kv_heads} does not divide heads {self.heads}", "kv_heads")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalMlp(LocalCode):
    """An MLP of the user's own, made as CLASS(width, hidden_width, **options)."""

    kind: Literal["local"]
    ratio: Positive
    """Hidden units per unit of width."""
    tensors: dict[str, tuple[Dimension, ...]]
    """Its parameters: name and shape, in numbers or as width and hidden."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalOptimizer(LocalCode):
    """An optimizer of the user's own, made as CLASS(tensors, parameters, **options)."""

    kind: Literal["local"]


def local_codes(value: Any) -> list[Any]:
    """Every local component inside a recipe, or in a part of one."""
    if isinstance(value, dict):
        return [code for member in value.values() for code in local_codes(member)]
    slots = getattr(value, "__dataclass_fields__", {})
    if "class_name" in slots:
        return [value]
    return [code for name in slots for code in local_codes(getattr(value, name))]
