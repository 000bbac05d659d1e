"""Compares the parameters of a draft with those of a script's model, part by part."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from pgolf.drafting.counting.model_code import ModelTensor, ScriptModel
from trainer.recipe.inventory import Inventory

# Parts of a model, with patterns of their tensors in published scripts and in pgolf's inventory. First match counts.
PARTS = {
    "bigram table": (r"bigram", r"\.bigram\."),
    "value embedding": (r"value_?emb|\bve_|\.ve\b|\bvte\b", r"embedding\.value\."),
    "SmearGate": (r"smear", r"\.smear\."),
    "multi-token prediction heads": (r"mtp", r"(?!)"),
    "lanes": (r"parallel_(post|resid)_|lane", r"\.lanes\."),
    "output head": (r"lm_head", r"^head$"),
    "token table": (r"tok_emb|\bwte\b|embed_tokens|token_embed", r"^embedding\.tokens$"),
    "skip gates": (r"skip_gate", r"^skip_gates$"),
    "skip weights": (r"skip_w|skip_scale", r"^skip_weights$"),
    "value residuals": (r"\bvr_|value_resid|v_resid|v_lamb", r"^value_residuals$"),
    "attention gates": (r"(attn|attention)\w*gate|gate\w*(attn|attention)|gate_proj|head_gate", r"\.attention\.gate$"),
    "softcaps": (r"softcap", r"^softcaps$"),
    "input mixes": (r"resid_mix|x0_lamb", r"input_mix$"),
    "query gains": (r"q_gain|qk_gain", r"\.q_gain$"),
    "block scales": (r"attn_scale|mlp_scale", r"attention_scale$|mlp_scale$|^execution_scales\.(attention|mlp)$"),
    "attention matrices": (r"attn|attention|qo_bank|kv_bank|qkv|\.c_[qkv]\b", r"\.attention\."),
    "MLP matrices": (r"mlp|ffn|feed_?forward", r"\.mlp\."),
}  # fmt: skip
# Combinations of more take long.
MOST_PARTS = 12
COMPILED = {name: (re.compile(script), re.compile(own)) for name, (script, own) in PARTS.items()}


@dataclass(frozen=True, slots=True)
class PartDifference:
    """A part of the model that has not as many parameters in the draft as in the script."""

    name: str
    script: int | None
    """Number of parameters in the script; None if its code does not tell."""
    draft: int
    place: str
    """Where the script makes the part; empty where it has none."""

    @property
    def text(self) -> str:
        """The difference in words."""
        where = f" ({self.place})" if self.place else ""
        if self.script is None:
            return f"{self.name}: {self.draft:,} in the draft, unknown in the script{where}"
        return f"{self.name}: {self.draft:,} in the draft, {self.script:,} in the script{where}"


def part_of_script(path: str) -> str:
    """Return the part to which a tensor of a script belongs; its last names if it is none that pgolf knows."""
    words = path.lower()
    known = next((name for name, (script, _) in COMPILED.items() if script.search(words)), None)
    return known or ".".join(word for word in path.split(".")[1:] if not word.isdigit())


def part_of_draft(name: str) -> str:
    """Return the part to which a tensor of the inventory belongs; its own name if it is none of those in scripts."""
    return next((part for part, (_, own) in COMPILED.items() if own.search(name)), name)


def differing_parts(model: ScriptModel, own: Inventory) -> list[PartDifference]:
    """Return the parts with different numbers of parameters, the largest difference first."""
    script: dict[str, list[ModelTensor]] = {}
    for tensor in model.tensors:
        script.setdefault(part_of_script(tensor.path), []).append(tensor)
    draft, found = part_sizes(own), []
    for name in dict.fromkeys([*script, *draft]):
        tensors = script.get(name, [])
        size = total(tensor.size for tensor in tensors)
        if size != draft.get(name, 0):
            found.append(PartDifference(name, size, draft.get(name, 0), tensors[0].place if tensors else ""))
    return sorted(found, key=lambda part: -abs((part.script or 0) - part.draft))


def explaining_parts(parts: list[PartDifference], difference: int) -> list[PartDifference]:
    """Return the fewest parts whose differences add up to that of the whole models; none if no parts do.

    Args:
        parts: Parts of a model whose code was not followed throughout: some differ only because code was not followed.
        difference: Parameters of the draft minus those that a log prints.
    """
    known = [part for part in parts if part.script is not None][:MOST_PARTS]
    for count in range(1, len(known) + 1):
        for few in combinations(known, count):
            if sum(part.draft - (part.script or 0) for part in few) == difference:
                return list(few)
    return []


def total(sizes: Iterable[int | None]) -> int | None:
    """Return the sum; None if a size is unknown."""
    known = list(sizes)
    return None if None in known else sum(filter(None, known))


def part_sizes(own: Inventory) -> Mapping[str, int]:
    """Return the numbers of parameters of a draft's parts."""
    sizes: dict[str, int] = {}
    for tensor in own:
        sizes[part_of_draft(tensor.name)] = sizes.get(part_of_draft(tensor.name), 0) + tensor.size
    return sizes
