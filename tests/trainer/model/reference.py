"""The challenge's baseline, written a second time: float64, one sequence, plain formulas.

Source: the interface and the structure of openai/parameter-golf's naive baseline. Shares no code with the trainer.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def norm(x: Array) -> Array:
    y: Array = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.finfo(np.float32).eps)
    return y


def rotate(x_TE: Array, dims: int, base: float) -> Array:
    half = dims // 2
    angle = np.arange(len(x_TE))[:, None] * base ** (-2 * np.arange(half) / dims)
    a, b = x_TE[:, :half].copy(), x_TE[:, half:dims].copy()
    y = x_TE.copy()
    y[:, :half] = a * np.cos(angle) + b * np.sin(angle)
    y[:, half:dims] = b * np.cos(angle) - a * np.sin(angle)
    return y


def attention(w: dict[str, Array], x: Array, heads: int, kv_heads: int, dims: int) -> Array:
    length, width = x.shape
    size = width // heads
    out = np.empty_like(x)
    mask = np.triu(np.full((length, length), -np.inf), 1)
    for head in range(heads):
        mine, shared = slice(head * size, (head + 1) * size), head * kv_heads // heads
        theirs = slice(shared * size, (shared + 1) * size)
        q = rotate(norm(x @ w["query"][mine].T), dims, 10_000.0) * w["q_gain"][head]
        k = rotate(norm(x @ w["key"][theirs].T), dims, 10_000.0)
        scores = q @ k.T / np.sqrt(size) + mask
        share = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, mine] = share / share.sum(axis=1, keepdims=True) @ (x @ w["value"][theirs].T)
    return out @ w["output"].T


def below(w: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in w.items() if name.startswith(prefix)}


def baseline_logits(w: dict[str, Array], tokens: list[int], layers: int, heads: int, kv_heads: int, dims: int) -> Array:
    """Return the logits of every position. Shapes: (T,) -> (T, V)."""
    x = first = norm(w["embedding.tokens"][tokens])
    encoder = layers // 2
    kept: list[Array] = []
    for layer in range(layers):
        if encoder <= layer < 2 * encoder:
            x = x + w["skip_weights"][layer - encoder] * kept[2 * encoder - 1 - layer]
        p = below(w, f"flat.{layer}.")
        x = p["input_mix"][0] * x + p["input_mix"][1] * first
        x = x + p["attention_scale"] * attention(below(p, "attention."), norm(x), heads, kv_heads, dims)
        x = x + p["mlp_scale"] * (np.maximum(norm(x) @ p["mlp.up"].T, 0) ** 2 @ p["mlp.down"].T)
        if layer < encoder:
            kept.append(x)
    return 30 * np.tanh(norm(x) @ w["embedding.tokens"].T / 30)
