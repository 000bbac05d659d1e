"""Builds corpora and folders of shards for tests; reads shards without the project's own reader."""

import hashlib
import json
import random
import struct
from pathlib import Path
from typing import Any

from pgolf.data.corpora import Document
from pgolf.data.manifests import Manifest
from pgolf.data.prepare import Preparation, prepare
from trainer.recipe.data import Transform

WORDS = [
    "the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "many", "other", "animals", "sleep",
    "and", "dream", "of", "long", "summer", "days",
]  # fmt: skip
HEADER = struct.Struct("<256i")
BEGIN = 1

LOSSLESS_NASTY = [
    "  two leading spaces", " one", "double  spaces   here  ", "\tTab\tand\ttabs", "\n\nlines\n\n", " ", "\n", "\t",
    "   ",
    "a\r\nb\rc", "\x00\x01 control", "emoji \N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{SNOWMAN}",
    "e\N{COMBINING ACUTE ACCENT} \u00e9",
    "\N{LATIN SMALL LIGATURE FI}", "\N{IDEOGRAPHIC SPACE}x\N{NO-BREAK SPACE}y", "<s> </s> <unk> <0x0A>", "\ufeffbom",
    "\u4e2d\u6587 \u0627\u0644", "\N{LINE SEPARATOR}", "x" * 3000,
]  # fmt: skip
MARKED = [
    "\N{LOWER ONE EIGHTH BLOCK}",
    "a\N{LOWER ONE EIGHTH BLOCK}b",
    "\N{LOWER ONE EIGHTH BLOCK}\N{LOWER ONE EIGHTH BLOCK}x ",
]


def sentences(number: int, seed: int = 1) -> list[str]:
    """Return random texts of 5 to 60 words."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(5, 60))) for _ in range(number)]


def documents(texts: list[str]) -> list[Document]:
    return [Document(f"d{number}", text) for number, text in enumerate(texts)]


def prepared(
    folder: Path, texts: list[str], fraction: float = 0.3, tokenizer: Path | None = None, pieces: int = 300,
    transform: Transform | None = None,
) -> Manifest:  # fmt: skip
    """Prepare texts into a folder and return the manifest."""
    preparation = Preparation(
        name="test", out=folder, validation_fraction=fraction, vocabulary_size=pieces, tokenizer=tokenizer,
        transform=transform,
    )  # fmt: skip
    return prepare(documents(texts), preparation).manifest


def raw_shard(content: bytes) -> list[int]:
    """Return the tokens of a shard after checking every byte against the format."""
    header = HEADER.unpack(content[: HEADER.size])
    count = header[2]
    assert header == (20240520, 1, count, *[0] * 253)
    assert len(content) == 1024 + 2 * count
    return list(struct.unpack(f"<{count}H", content[1024:]))


def raw_documents(folder: Path, split: str) -> list[list[int]]:
    """Return the documents of a split, each without its BOS."""
    found: list[list[int]] = []
    for entry in raw_manifest(folder)[split]["shards"]:
        for token in raw_shard((folder / entry["file"]).read_bytes()):
            if token == BEGIN:
                found.append([])
            else:
                found[-1].append(token)
    return found


def raw_manifest(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return document


def plant(folder: Path, split: str, tokens: list[int], **facts: int) -> None:
    """Replace a split by one shard of these tokens, with a consistent manifest and hashes."""
    manifest = raw_manifest(folder)
    entry = manifest[split]["shards"][0]
    content = HEADER.pack(20240520, 1, len(tokens), *[0] * 253) + struct.pack(f"<{len(tokens)}H", *tokens)
    (folder / entry["file"]).write_bytes(content)
    entry |= {"tokens": len(tokens), "sha256": hashlib.sha256(content).hexdigest()}
    manifest[split] |= {"tokens": len(tokens), "shards": [entry], **facts}
    (folder / "manifest.json").write_text(json.dumps(manifest))
