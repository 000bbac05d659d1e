"""Text to shards: split by document, tokenize, write, prove."""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.data.corpora import Document
from pgolf.data.manifests import Manifest, Split, TokenizerEntry
from pgolf.data.overlap import measure_overlap
from pgolf.data.references import measure_references, write_references
from pgolf.data.shards import ShardWriter
from pgolf.data.tokenizers import ScoredBytes, load_tokenizer_file, train_tokenizer
from pgolf.errors import DataError
from trainer.recipe.data import SPACE_MARK
from trainer.recipe.files import DataFiles, write_whole

# The 24 leading bits of a document's hash decide its side.
HASH_RANGE = 1 << 24


def ignore_progress(line: str) -> None:
    """Nothing, for callers that do not want to know."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What to make of a corpus."""

    name: str
    out: Path
    validation_fraction: float
    tokenizer: Path | None = None
    """A .model file to use; None trains one."""
    vocabulary_size: int = 1024
    """Pieces of the tokenizer that is trained."""


def prepare(
    documents: Iterable[Document], preparation: Preparation, on_progress: Callable[[str], None] = ignore_progress
) -> Manifest:
    """The manifest of the shards, all of them in `preparation.out`.

    A document's side follows from its text alone, so equal texts never stand on both sides.
    Raises: DataError when there is no text, or a side is empty.
    """
    train: list[Document] = []
    validation: list[Document] = []
    for document in documents:
        if document.text:
            check_unicode(document)
            (validation if is_validation(document.text, preparation.validation_fraction) else train).append(document)
    if not train or not validation:
        raise DataError(
            f"{len(train)} training and {len(validation)} validation documents; both sides need one. "
            "Give more documents or another --val-fraction"
        )
    folder = DataFiles(preparation.out)
    preparation.out.mkdir(parents=True, exist_ok=True)
    write_whole(folder.tokenizer, tokenizer_model(preparation, train, on_progress))
    tokenizer = load_tokenizer_file(folder.tokenizer)
    on_progress(f"tokenizing {len(train) + len(validation):,} documents")
    encoder = DocumentEncoder(tokenizer)
    splits = {
        prefix: encoder.write(side, ShardWriter(preparation.out, f"fineweb_{prefix}"))
        for prefix, side in (("train", train), ("val", validation))
    }
    manifest = Manifest(
        name=preparation.name,
        tokenizer=TokenizerEntry(
            vocabulary_size=tokenizer.get_piece_size(),
            sha256=hashlib.sha256(folder.tokenizer.read_bytes()).hexdigest(),
            lossless=encoder.is_lossless,
        ),
        train=splits["train"],
        validation=splits["val"],
    )
    on_progress("measuring what an order-2 byte model and brotli make of the validation text")
    write_references(preparation.out, measure_references(texts(train), texts(validation)))
    overlap = measure_overlap(preparation.out, manifest, tokenizer.bos_id()).finding()
    if overlap.severity != "pass":
        on_progress(f"{overlap.message}: near-duplicates that differ in a word; {overlap.fix}")
    manifest.write(preparation.out)
    return manifest


def check_unicode(document: Document) -> None:
    """Nothing, if the text can be written as UTF-8.

    Raises: DataError naming the document.
    """
    try:
        document.text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{document.id}: character {error.start} is half of a surrogate pair, not text") from error


def is_validation(text: str, fraction: float) -> bool:
    """The side of a text, by the SHA-256 of what a tokenizer may make of it; texts that tokenize alike share a side."""
    alike = " ".join(unicodedata.normalize("NFKC", text.replace(SPACE_MARK, " ")).split())
    leading = int.from_bytes(hashlib.sha256(alike.encode(errors="surrogatepass")).digest()[:3], "big")
    return leading < fraction * HASH_RANGE


def texts(documents: Iterable[Document]) -> Iterator[str]:
    return (document.text for document in documents)


def tokenizer_model(preparation: Preparation, train: list[Document], on_progress: Callable[[str], None]) -> bytes:
    """The bytes of tokenizer.model: the given file, or one trained on the training side only."""
    if preparation.tokenizer is not None:
        load_tokenizer_file(preparation.tokenizer)
        return preparation.tokenizer.read_bytes()
    on_progress(f"training a tokenizer of {preparation.vocabulary_size:,} pieces")
    return train_tokenizer(texts(train), preparation.vocabulary_size)


class DocumentEncoder:
    """Documents to tokens, with a check that the tokens say the same."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.scored_bytes = ScoredBytes(tokenizer)
        self.is_lossless = True

    def write(self, documents: list[Document], writer: ShardWriter) -> Split:
        """The split that the documents make, with its shards on disk."""
        begin = self.tokenizer.bos_id()
        tokens_total = bytes_total = 0
        for document in documents:
            tokens = [begin, *self.tokenizer.encode(document.text)]
            self.is_lossless &= self.tokenizer.decode(tokens[1:]) == document.text
            writer.add(tokens)
            tokens_total += len(tokens)
            # What is scored is what the tokens say. With a lossy tokenizer that is not the document, and the
            # manifest says so.
            bytes_total += self.scored_bytes.count(tokens[1:])
        return Split(documents=len(documents), tokens=tokens_total, bytes=bytes_total, shards=writer.close())
