"""The models of #1493 and #1855 at micro size, written a second time: float64, one sequence, plain loops.

Source: the formulas of openai/parameter-golf #1493 and #1855. Shares no code with the trainer.
"""

import numpy as np

from tests.trainer.model.published_reference import rotate, sigmoid
from tests.trainer.model.reference import Array, below, norm

# Layers 1 and 2 of five run three times. The first four of the nine executions feed the next four, last in first out.
ORDER = (0, 1, 2, 1, 2, 1, 2, 3, 4)
HALF = 4
HEADS, KV_HEADS, DIMS = 2, 1, 8
LATE = 3
BOS = 1


def attend(w: dict[str, Array], n: Array, frequencies: Array) -> Array:
    """Return exclusive attention of a normed input, with a gate on each head if there is one."""
    size = n.shape[1] // HEADS
    value = n @ w["value"].T
    key = rotate(norm(n @ w["key"].T), frequencies)
    out = np.zeros_like(n)
    for head in range(HEADS):
        mine = slice(head * size, (head + 1) * size)
        query = rotate(norm(n @ w["query"][mine].T), frequencies) * w["q_gain"][head]
        for t in range(len(n)):
            scores = np.array([query[t] @ key[s] for s in range(t + 1)]) / np.sqrt(size)
            share = np.exp(scores - scores.max())
            y = share / share.sum() @ value[: t + 1]
            y = y - (y @ value[t]) / (value[t] @ value[t]) * value[t]
            out[t, mine] = y * sigmoid(0.5 * w["gate"][head] @ n[t, :12]) if "gate" in w else y
    return out @ w["output"].T


def think(w: dict[str, Array], n: Array) -> Array:
    z = n @ w["up"].T
    y: Array = np.where(z > 0, z, 0.5 * z) ** 2 @ w["down"].T
    return y


def skipped(w: dict[str, Array], x: Array, skip: Array, row: int) -> Array:
    g = sigmoid(w["skip_gates"][row])
    y: Array = g * x + (1 - g) * (w["skip_weights"][row] * skip)
    return y


def added_logits(w: dict[str, Array], tokens: list[int], trained: int) -> Array:
    """#1493: late layers add attention and MLP of one input. Shapes: (T,) -> (T, V)."""
    stretch = max(1.0, len(tokens) / trained) ** (DIMS / (DIMS - 2))
    frequencies = (10_000.0 * stretch) ** (-2 * np.arange(DIMS // 2) / DIMS)
    x = first = norm(w["embedding.tokens"][tokens])
    kept: list[Array] = []
    for execution, layer in enumerate(ORDER):
        p, c = below(w, f"flat.{layer}."), 1 / np.sqrt(layer + 1)
        if HALF <= execution < 2 * HALF:
            x = skipped(w, x, kept.pop(), execution - HALF)
        x = p["input_mix"][0] * x + p["input_mix"][1] * first
        attended = p["attention_scale"] * attend(below(p, "attention."), c * norm(x), frequencies)
        between = x if layer >= LATE else x + attended
        thought = p["mlp_scale"] * think(below(p, "mlp."), c * norm(between))
        x = x + attended + thought
        if execution < HALF:
            kept.append(x)
    return 30 * np.tanh(norm(x) @ w["embedding.tokens"].T / 30)


def laned_logits(w: dict[str, Array], tokens: list[int]) -> Array:
    """#1855: late layers have two streams, heads have gates, embeddings read one token back. Shapes: (T,) -> (T, V)."""
    frequencies = 10_000.0 ** (-2 * np.arange(DIMS // 2) / DIMS)
    e = w["embedding.tokens"][tokens]
    x = e.copy()
    for t in range(1, len(tokens)):
        if tokens[t] != BOS:
            x[t] = e[t] + w["embedding.smear.scale"] * sigmoid(w["embedding.smear.gate"] @ e[t, :12]) * e[t - 1]
    a = first = norm(x)
    b: Array | None = None
    kept: list[Array] = []
    for execution, layer in enumerate(ORDER):
        p, c = below(w, f"flat.{layer}."), 1 / np.sqrt(layer + 1)
        if layer >= LATE and b is None:
            b = a
        if HALF <= execution < 2 * HALF:
            a = skipped(w, a, kept.pop(), execution - HALF)
        mixed = p["input_mix"][0] * a + p["input_mix"][1] * first
        attended = p["attention_scale"] * attend(below(p, "attention."), c * norm(mixed), frequencies)
        if b is None:
            mixed = mixed + attended
            a = mixed + p["mlp_scale"] * think(below(p, "mlp."), c * norm(mixed))
        else:
            thought = p["mlp_scale"] * think(below(p, "mlp."), c * norm(b))
            kept_lane, share = p["lanes.kept"], p["lanes.shares"]
            a, b = (
                kept_lane[0] * a + share[0, 0] * attended + share[0, 1] * thought,
                kept_lane[1] * b + share[1, 0] * attended + share[1, 1] * thought,
            )
        if execution < HALF:
            kept.append(a)
    assert b is not None
    return 30 * np.tanh(norm((a + b) / 2) @ w["embedding.tokens"].T / 30)
