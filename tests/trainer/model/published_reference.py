"""Three published models, written a second time: float64, one sequence, plain loops, from the formulas on paper.

Source: structure of openai/parameter-golf #1579 (crawler), #861 (gated U-Net), #1535 (loop instructions), #569 (value
residual). Shares no code with the trainer.
"""

from itertools import pairwise

import numpy as np

from tests.trainer.model.reference import Array, below, norm


def sigmoid(x: Array) -> Array:
    y: Array = 1 / (1 + np.exp(-x))
    return y


def rotate(x_TE: Array, frequencies: Array) -> Array:
    """Rotate the first 2 len(frequencies) dimensions of a head; pair i is (i, i + len)."""
    half = len(frequencies)
    y = x_TE.copy()
    for t in range(len(x_TE)):
        for i, frequency in enumerate(frequencies):
            a, b, angle = x_TE[t, i], x_TE[t, i + half], t * frequency
            y[t, i] = a * np.cos(angle) + b * np.sin(angle)
            y[t, i + half] = b * np.cos(angle) - a * np.sin(angle)
    return y


def attend(
    w: dict[str, Array], x: Array, heads: int, kv_heads: int, frequencies: Array, exclusive: bool, added: Array | None
) -> tuple[Array, Array]:
    """Return the output of attention before its scale, and its values."""
    length, width = x.shape
    size = width // heads
    value = x @ w["value"].T
    if added is not None:
        value = value + added
    out = np.zeros_like(x)
    for head in range(heads):
        mine = slice(head * size, (head + 1) * size)
        shared = head * kv_heads // heads
        theirs = slice(shared * size, (shared + 1) * size)
        q = rotate(norm(x @ w["query"][mine].T), frequencies) * w["q_gain"][head]
        k = rotate(norm(x @ w["key"][theirs].T), frequencies)
        for t in range(length):
            scores = np.array([q[t] @ k[s] for s in range(t + 1)]) / np.sqrt(size)
            share = np.exp(scores - scores.max())
            y = (share / share.sum()) @ value[: t + 1, theirs]
            if exclusive:
                direction = value[t, theirs] / np.linalg.norm(value[t, theirs])
                y = y - (y @ direction) * direction
            out[t, mine] = y
    return out @ w["output"].T, value


def smear(x: Array, gate: Array) -> Array:
    g = sigmoid(gate)
    before = np.vstack([np.zeros_like(x[:1]), x[:-1]])
    return (1 - g) * x + g * before


def bigram(w: dict[str, Array], tokens: list[int], buckets: list[int]) -> Array:
    scale = w.get("embedding.bigram.scale", np.array(1.0))
    y: Array = scale * (w["embedding.bigram.table"][buckets] @ w["embedding.bigram.projection"].T)
    return y


def crawler_logits(w: dict[str, Array], tokens: list[int], heads: int, kv_heads: int) -> Array:
    """#1579: one flat block, two looped ones twice, two flat ones. Shapes: (T,) -> (T, V)."""
    size = w["embedding.tokens"].shape[1] // heads
    frequencies = 10_000.0 ** (-2 * np.arange(size // 2 // 2) / size)  # the first half of the whole head's
    count = len(w["embedding.bigram.table"])
    buckets = [(before * 92821 + now) % count for before, now in zip([0, *tokens], tokens, strict=False)]
    x = smear(norm(w["embedding.tokens"][tokens] + bigram(w, tokens, buckets)), w["embedding.smear.gate"])
    first = x
    value = w["embedding.value.table"][tokens] @ w["embedding.value.projection"].T

    def block(name: str, execution: int, x: Array, exclusive: bool, added: Array | None) -> Array:
        p = below(w, f"{name}.")
        mix = w["execution_scales.input_mix"][execution]
        x = mix[0] * x + mix[1] * first
        attended, _ = attend(below(p, "attention."), norm(x), heads, kv_heads, frequencies, exclusive, added)
        x = x + w["execution_scales.attention"][execution] * attended
        hidden = np.maximum(norm(x) @ p["mlp.up"].T, 0) ** 2
        y: Array = x + w["execution_scales.mlp"][execution] * (hidden @ p["mlp.down"].T)
        return y

    x = skip = block("flat.0", 0, x, True, None)
    x = block("looped.0", 1, x, True, None)
    x = block("looped.1", 2, x, True, None)
    for execution, name in ((3, "looped.0"), (4, "looped.1")):
        x = x + w["blends"][1] * (block(name, execution, x, True, None) - x)
    x = x + w["skip_weights"][0] * skip
    x = block("flat.1", 5, x, False, w["embedding.value.factors"][0] * value)
    x = block("flat.2", 6, x, False, w["embedding.value.factors"][1] * value)
    return 30 * np.tanh(norm(x) @ w["embedding.tokens"].T / 30)


def gated_unet_logits(w: dict[str, Array], tokens: list[int], heads: int, layers: int, dims: int, last: int) -> Array:
    """#861 with as many layers, of which the last few are exclusive. Shapes: (T,) -> (T, V)."""
    frequencies = 10_000.0 ** (-2 * np.arange(dims // 2) / dims)
    count = len(w["embedding.bigram.table"])
    buckets = [(before * 1009 + now) % count for before, now in zip([0, *tokens], tokens, strict=False)]
    x = first = smear(norm(w["embedding.tokens"][tokens] + bigram(w, tokens, buckets)), w["embedding.smear.gate"])
    value = w["embedding.value.scale"] * (w["embedding.value.table"][tokens] @ w["embedding.value.projection"].T)
    kept: list[Array] = []
    for layer in range(layers):
        if layers // 2 <= layer < layers // 2 * 2:
            row = layer - layers // 2
            g = sigmoid(w["skip_gates"][row])
            x = g * x + (1 - g) * (w["skip_weights"][row] * kept.pop())
        p = below(w, f"flat.{layer}.")
        c = 1 / np.sqrt(layer + 1)
        x = p["input_mix"][0] * x + p["input_mix"][1] * first
        factor = layer - (layers - 2)
        added = w["embedding.value.factors"][factor] * value if factor >= 0 else None
        exclusive = layer >= layers - last
        attended, _ = attend(below(p, "attention."), c * norm(x), heads, heads, frequencies, exclusive, added)
        x = x + p["attention_scale"] * attended
        z = (c * norm(x)) @ p["mlp.up"].T
        hidden = p["mlp.scale"] * np.where(z > 0, z, 0.5 * z) ** 2 + p["mlp.shift"]
        x = x + p["mlp_scale"] * (hidden @ p["mlp.down"].T)
        if layer < layers // 2:
            kept.append(x)
    return 30 * np.tanh(norm(x) @ w["embedding.tokens"].T / 30)


def xor_buckets(tokens: list[int], count: int) -> list[int]:
    pairs = pairwise(tokens)
    return [count - 1, *(((36313 * now) ^ (27191 * before)) % (count - 1) for before, now in pairs)]


def value_residual_logits(
    w: dict[str, Array], tokens: list[int], heads: int, kv_heads: int, layers: int, dims: int, trained: int
) -> Array:
    """#569 with as many layers. Shapes: (T,) -> (T, V)."""
    stretch = max(1.0, len(tokens) / trained) ** (dims / (dims - 2))
    frequencies = (10_000.0 * stretch) ** (-2 * np.arange(dims // 2) / dims)
    buckets = xor_buckets(tokens, len(w["embedding.bigram.table"]))
    x = first = smear(norm(w["embedding.tokens"][tokens] + bigram(w, tokens, buckets)), w["embedding.smear.gate"])
    embedded = w["embedding.value.scale"] * (w["embedding.value.table"][tokens] @ w["embedding.value.projection"].T)
    kept: list[Array] = []
    first_value: Array | None = None
    for layer in range(layers):
        if layers // 2 <= layer < layers // 2 * 2:
            x = x + w["skip_weights"][layer - layers // 2] * kept.pop()
        p = below(w, f"flat.{layer}.")
        c = 1 / np.sqrt(layer + 1)
        x = p["input_mix"][0] * x + p["input_mix"][1] * first
        added = np.zeros_like(embedded)
        if layer >= layers - 2:
            added = added + w["embedding.value.factors"][layer - layers + 2] * embedded
        if first_value is not None:
            added = added + sigmoid(w["value_residuals"][layer - 1]) * first_value
        attended, value = attend(below(p, "attention."), c * norm(x), heads, kv_heads, frequencies, True, added)
        first_value = value if first_value is None else first_value
        x = x + p["attention_scale"] * attended
        z = (c * norm(x)) @ p["mlp.up"].T
        x = x + p["mlp_scale"] * (np.where(z > 0, z, 0.5 * z) ** 2 @ p["mlp.down"].T)
        if layer < layers // 2:
            kept.append(x)
    return 30 * np.tanh(norm(x) @ w["embedding.tokens"].T / 30)


def instructed_loops_logits(
    w: dict[str, Array], tokens: list[int], heads: int, kv_heads: int, dims: int, trained: int
) -> Array:
    """#1535 with two flat blocks, one looped three times, two flat ones. Shapes: (T,) -> (T, V)."""
    pairs = -2 * np.arange(dims // 2) / dims
    stretch = max(1.0, len(tokens) / trained) ** (dims / (dims - 2))
    buckets = xor_buckets(tokens, len(w["embedding.bigram.table"]))
    x = first = smear(norm(w["embedding.tokens"][tokens] + bigram(w, tokens, buckets)), w["embedding.smear.gate"])

    def block(name: str, ordinal: int, x: Array, frequencies: Array, exclusive: bool) -> Array:
        p, c = below(w, f"{name}."), 1 / np.sqrt(ordinal + 1)
        x = p["input_mix"][0] * x + p["input_mix"][1] * first
        attended, _ = attend(below(p, "attention."), c * norm(x), heads, kv_heads, frequencies, exclusive, None)
        x = x + p["attention_scale"] * attended
        hidden = np.maximum((c * norm(x)) @ p["mlp.up"].T, 0) ** 2
        y: Array = x + p["mlp_scale"] * (hidden @ p["mlp.down"].T)
        return y

    flat = (10_000.0 * stretch) ** pairs
    kept = []
    for layer in (0, 1):
        x = block(f"flat.{layer}", layer, x, flat, False)
        kept.append(x)
    for loop, divisor in enumerate((9.0, 1.0, 1.0)):
        x = x + (x @ w["instructions.inner"].T) @ w[f"instructions.outer.{loop}"].T
        x = block("looped.0", 4, x, 10_000.0**pairs / divisor, True)
    for row, layer in enumerate((2, 3)):
        x = x + w["skip_weights"][row] * kept.pop()
        x = block(f"flat.{layer}", layer, x, flat, False)
    return 30 * np.tanh(norm(x) @ w["embedding.tokens"].T / 30)
