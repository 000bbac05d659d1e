"""Compares features that a script's code names with those of a recipe. A name is a hint where to look, not a proof."""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pgolf.scripts.program import ScriptProgram

Recipe = Mapping[str, Any]
EMBEDDING, ATTENTION = "recipe.model.embedding", "recipe.model.attention"


@dataclass(frozen=True, slots=True)
class Feature:
    """A modelling idea, the words by which code names it, and a test whether a flat recipe has it."""

    name: str
    words: tuple[str, ...]
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


FEATURES = (
    Feature("bigram table", ("bigram",), has(f"{EMBEDDING}.bigram.buckets")),
    Feature("value embedding", ("value embed", "value embedding"), has(f"{EMBEDDING}.value.width")),
    Feature("smear", ("smear",), is_set(f"{EMBEDDING}.smear.kind")),
    Feature("exclusive self-attention", ("xsa",), is_set(f"{ATTENTION}.exclusive")),
    Feature("value residual", ("value residual",), is_set(f"{ATTENTION}.value_residual")),
    Feature("gated attention", ("gated attn", "attn gate"), is_set(f"{ATTENTION}.gate.kind")),
    Feature("loops", ("crawler", "looping", "loops"), is_kind("recipe.model.topology", "looped", "recursive")),
    Feature("swiglu", ("swiglu",), is_kind("recipe.model.mlp", "swiglu")),
    Feature("leaky relu", ("leaky",), is_kind("recipe.model.mlp", "leaky_relu_squared")),
    Feature("Muon", ("muon",), is_kind("recipe.optimizer", "muon_adamw")),
    Feature("EMA", ("ema",), is_kind("recipe.averaging", "ema", "candidates")),
    Feature("SWA", ("swa",), is_kind("recipe.averaging", "swa", "candidates")),
    Feature("GPTQ", ("gptq", "hessian", "hessians"), is_kind("recipe.quantizer", "gptq")),
    Feature("rounding in training", ("qat",), is_set("recipe.quantizer.training.kind")),
    Feature("test-time training", ("ttt",), is_kind("recipe.evaluation", "score_first_ttt", "document_lora")),
    Feature("LoRA", ("lora",), is_kind("recipe.evaluation", "document_lora")),
    Feature("sliding windows", ("sliding",), has("recipe.evaluation.stride")),
    Feature("low-rank residuals", ("lqer",), has("recipe.quantizer.residual.rank")),
)  # fmt: skip


def named_features(program: ScriptProgram) -> set[str]:
    """Return the features that a program's identifiers name; comments and strings do not count."""
    words = " | ".join(sorted({in_words(name) for tree in program.trees.values() for name in identifiers(tree)}))
    return {
        feature.name
        for feature in FEATURES
        if any(re.search(rf"(?<![a-z]){word}(?![a-z])", words) for word in feature.words)
    }


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


def in_words(name: str) -> str:
    """Split an identifier into lower-case words: `BigramHash` and `bigram_hash` become `bigram hash`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower()


def differing_features(program: ScriptProgram, recipe: Recipe) -> tuple[list[str], list[str]]:
    """Return the features that only the code names, and those that only the recipe has."""
    named = named_features(program)
    there = {feature.name for feature in FEATURES if feature.is_in(recipe)}
    return [f.name for f in FEATURES if f.name in named - there], [f.name for f in FEATURES if f.name in there - named]
