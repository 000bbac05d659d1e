"""Writes spec files for tests."""

from pathlib import Path

import pytest

from pgolf.errors import SpecError
from pgolf.specs.loading import LoadedSpec, load_spec

WHOLE = """\
spec_version: 1
name: whole
recipe:
  data: {kind: embedded, vocabulary_size: 512}
  model:
    kind: gpt
    width: 64
    topology: {kind: flat, layers: 2}
    attention: {kind: grouped_query, heads: 4, kv_heads: 2}
    mlp: {kind: relu_squared, ratio: 2}
    embedding: {kind: tied}
  optimizer: {kind: muon_adamw}
  schedule: {kind: warmdown, clock: tokens, fraction: 0.5, batch_tokens: 512, sequence_tokens: 64}
  averaging: {kind: none}
  quantizer:
    kind: rtn
    bits: {default: 6, embedding: 8}
    clip: {kind: deviations, k: {default: 12.85}}
  codec: {kind: brotli, quality: 9}
  evaluation: {kind: sliding, window: 128, stride: 64}
  budget: {clock: tokens, train: 3.2e9}
"""


def write(file: Path, text: str = WHOLE) -> Path:
    """Write a file and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def changed(*changes: tuple[str, str]) -> str:
    """Return WHOLE with pieces replaced, each of which occurs exactly once."""
    text = WHOLE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def load_text(folder: Path, text: str) -> LoadedSpec:
    """Load the spec of a text."""
    return load_spec(str(write(folder / "spec.yaml", text)))


def refusal_of(folder: Path, text: str) -> str:
    """Return the error message for a text, without the folder's name."""
    with pytest.raises(SpecError) as caught:
        load_text(folder, text)
    return str(caught.value).replace(f"{folder}/", "")


def line_of(text: str, piece: str) -> int:
    """Return the line on which a piece of text begins; the piece must occur once."""
    assert text.count(piece) == 1, piece
    return text[: text.index(piece)].count("\n") + 1
