"""The words by which code and READMEs name the modelling ideas of the contest. A name is a hint, not a proof."""

import re
from collections.abc import Iterator

METHODS = {
    "bigram table": ("bigram",),
    "value embedding": ("value embed", "value embedding"),
    "smear": ("smear",),
    "exclusive self-attention": ("xsa",),
    "value residual": ("value residual",),
    "gated attention": ("gated attn", "attn gate"),
    "loops": ("crawler", "looping", "loops"),
    "swiglu": ("swiglu",),
    "leaky relu": ("leaky",),
    "Muon": ("muon",),
    "EMA": ("ema",),
    "SWA": ("swa",),
    "GPTQ": ("gptq", "hessian", "hessians"),
    "rounding in training": ("qat",),
    "test-time training": ("ttt",),
    "LoRA": ("lora",),
    "sliding windows": ("sliding",),
    "low-rank residuals": ("lqer",),
}
"""Words of each method, in lower case."""
PATTERNS = {
    method: re.compile(rf"(?<![a-z])(?:{'|'.join(map(re.escape, words))})(?![a-z])")
    for method, words in METHODS.items()
}


def in_words(name: str) -> str:
    """Split an identifier into lower-case words: `BigramHash` and `bigram_hash` become `bigram hash`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower()


def named_methods(words: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield each method that is named in lower-case words, with the first place where it is."""
    for method, pattern in PATTERNS.items():
        if found := pattern.search(words):
            yield method, found
