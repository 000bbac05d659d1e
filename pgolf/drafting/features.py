"""Compares features that a script's code names with those of a recipe. A name is a hint where to look, not a proof."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pgolf.scripts.methods import in_words, named_methods
from pgolf.scripts.program import ScriptProgram

Recipe = Mapping[str, Any]
EMBEDDING, ATTENTION = "recipe.model.embedding", "recipe.model.attention"


@dataclass(frozen=True, slots=True)
class Feature:
    """A modelling idea, and a test whether a flat recipe has it."""

    name: str
    """One of METHODS."""
    is_in: Callable[[Recipe], bool]


def has(key: str) -> Callable[[Recipe], bool]:
    """Return a test whether a recipe has a key."""
    return lambda recipe: key in recipe


def is_set(key: str) -> Callable[[Recipe], bool]:
    """Return a test whether a recipe has a value other than none, false or an empty list."""
    return lambda recipe: recipe.get(key) not in (None, False, "none", [])


def is_kind(key: str, *kinds: str) -> Callable[[Recipe], bool]:
    """Return a test whether a recipe's component is one of some kinds."""
    return lambda recipe: recipe.get(f"{key}.kind") in kinds


def has_loops(recipe: Recipe) -> bool:
    """Return whether a recipe's layers run more than once."""
    topology = "recipe.model.topology"
    return recipe.get(f"{topology}.kind") in ("looped", "recursive") or f"{topology}.recurrence.loops" in recipe


FEATURES = (
    Feature("bigram table", has(f"{EMBEDDING}.bigram.buckets")),
    Feature("value embedding", has(f"{EMBEDDING}.value.width")),
    Feature("smear", is_set(f"{EMBEDDING}.smear.kind")),
    Feature("exclusive self-attention", is_set(f"{ATTENTION}.exclusive")),
    Feature("value residual", is_set(f"{ATTENTION}.value_residual")),
    Feature("gated attention", is_set(f"{ATTENTION}.gate.kind")),
    Feature("loops", has_loops),
    Feature("swiglu", is_kind("recipe.model.mlp", "swiglu")),
    Feature("leaky relu", is_kind("recipe.model.mlp", "leaky_relu_squared")),
    Feature("Muon", is_kind("recipe.optimizer", "muon_adamw")),
    Feature("EMA", is_kind("recipe.averaging", "ema", "candidates")),
    Feature("SWA", is_kind("recipe.averaging", "swa", "candidates")),
    Feature("GPTQ", is_kind("recipe.quantizer", "gptq")),
    Feature("rounding in training", is_set("recipe.quantizer.training.kind")),
    Feature("test-time training", is_kind("recipe.evaluation", "score_first_ttt", "document_lora")),
    Feature("LoRA", is_kind("recipe.evaluation", "document_lora")),
    Feature("sliding windows", has("recipe.evaluation.stride")),
    Feature("low-rank residuals", has("recipe.quantizer.residual.rank")),
)  # fmt: skip


def named_features(program: ScriptProgram) -> set[str]:
    """Return the features that a program's identifiers name; comments and strings do not count."""
    words = " | ".join(sorted({in_words(name) for tree in program.trees.values() for name in identifiers(tree)}))
    return {method for method, _ in named_methods(words)}


def identifiers(tree: ast.Module) -> set[str]:
    """Return the names of a program's functions, classes, variables and attributes."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
    return found


def differing_features(program: ScriptProgram, recipe: Recipe) -> tuple[list[str], list[str]]:
    """Return the features that only the code names, and those that only the recipe has."""
    named = named_features(program)
    there = {feature.name for feature in FEATURES if feature.is_in(recipe)}
    return [f.name for f in FEATURES if f.name in named - there], [f.name for f in FEATURES if f.name in there - named]
