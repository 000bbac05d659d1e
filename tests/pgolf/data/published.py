"""Small but complete published exports for tests, in both layouts."""

import json
import struct
from pathlib import Path

from pgolf.rulesets.ruleset import DataFacts, Ruleset, load_ruleset
from tests.pgolf.data.builders import HEADER, prepared, raw_documents, sentences
from trainer.recipe.data import Transform

OFFICIAL = "willdepueoai/parameter-golf"
KNOWN = "fineweb10B_sp1024"
VARIANT = "mine"
TOKENIZER = "tokenizers/fineweb_300_bpe.model"


def shard(tokens: list[int]) -> bytes:
    return HEADER.pack(20240520, 1, len(tokens), *[0] * 253) + struct.pack(f"<{len(tokens)}H", *tokens)


def cut(tokens: list[int], pieces: int) -> list[list[int]]:
    """Cut a stream into pieces of equal size, regardless of document borders."""
    size = -(-len(tokens) // pieces)
    return [tokens[start : start + size] for start in range(0, len(tokens), size)]


class Published:
    """The contents of an export and its repository layouts."""

    def __init__(self, folder: Path, texts: list[str] | None = None, transform: Transform | None = None) -> None:
        self.manifest = prepared(folder, texts or sentences(150), transform=transform)
        self.model = (folder / "tokenizer.model").read_bytes()
        streams = {
            split: [token for document in raw_documents(folder, split) for token in (1, *document)]
            for split in ("train", "validation")
        }
        self.files = {
            f"fineweb_{prefix}_{number:06d}.bin": shard(tokens)
            for prefix, split, pieces in (("train", "train", 4), ("val", "validation", 2))
            for number, tokens in enumerate(cut(streams[split], pieces))
        }

    def official(self, name: str, tokenizer_root: str = "datasets/", **stats: int) -> dict[str, bytes]:
        """Return a repository in the layout of the challenge's own."""
        document = {
            "datasets": [
                {"name": "another", "tokenizer_name": "bytes", "stats": {}},
                {"name": name, "tokenizer_name": "sp300", "stats": {"files_train": 4, "files_val": 2} | stats},
            ],
            "tokenizers": [
                {"name": "bytes", "path": "tokenizers/bytes.json"},
                {"name": "sp300", "model_path": TOKENIZER, "vocab_path": "tokenizers/fineweb_300_bpe.vocab"},
            ],
        }
        return {
            "README.md": b"hello",
            "datasets/manifest.json": json.dumps(document).encode(),
            tokenizer_root + TOKENIZER: self.model,
        } | {f"datasets/datasets/{name}/{file}": content for file, content in self.files.items()}

    def folder(self, name: str) -> dict[str, bytes]:
        """Return a repository with one folder for each variant and no manifest."""
        return {f"{name}/{file}": content for file, content in self.files.items()} | {
            "README.md": b"hello",
            "tokenizers/fineweb_300_bpe.model": self.model,
            "tokenizers/fineweb_512_bpe.model": b"another",
        }

    @property
    def rules(self) -> Ruleset:
        """The contest's ruleset with this export as its data."""
        tokens = self.manifest.validation.tokens
        facts = DataFacts(vocabulary_size=300, validation_tokens=(tokens - 9, tokens))
        return load_ruleset("parameter_golf").model_copy(
            update={"data": {KNOWN: facts}, "validation_bytes": self.manifest.validation.bytes}
        )
