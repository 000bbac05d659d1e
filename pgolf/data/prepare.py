"""Prepares text as shards: split by document, tokenize, write, check."""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.data.corpora import Document
from pgolf.data.manifests import Manifest, Split, TokenizerEntry
from pgolf.data.overlap import OverlapSearch, keep_overlap
from pgolf.data.references import measure_references, write_references
from pgolf.data.shards import ShardWriter
from pgolf.data.tokenizers import ScoredByteCounter, load_tokenizer_file, train_tokenizer
from pgolf.errors import DataError
from trainer.recipe.data import SPACE_MARK
from trainer.recipe.files import DataFiles, write_whole

# The 24 leading bits of a document's hash decide its split.
HASH_RANGE = 1 << 24


def ignore_progress(line: str) -> None:
    """Discard a progress line."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """How to prepare a corpus."""

    name: str
    out: Path
    validation_fraction: float
    tokenizer: Path | None = None
    """A .model file to use; None trains a tokenizer."""
    vocabulary_size: int = 1024
    """Pieces of the trained tokenizer."""


def prepare(
    documents: Iterable[Document], preparation: Preparation, on_progress: Callable[[str], None] = ignore_progress
) -> Manifest:
    """Write tokenizer, shards and manifest to `preparation.out` and return the manifest.

    A document's split depends on its text alone, so equal texts are never in both splits.

    Raises:
        DataError: there is no text or a split is empty.
    """
    train: list[Document] = []
    validation: list[Document] = []
    for document in documents:
        if document.text:
            check_unicode(document)
            (validation if is_validation(document.text, preparation.validation_fraction) else train).append(document)
    if not train or not validation:
        raise DataError(
            f"found {len(train)} training and {len(validation)} validation documents, expected at least one of each. "
            "Add documents or change --val-fraction"
        )
    folder = DataFiles(preparation.out)
    preparation.out.mkdir(parents=True, exist_ok=True)
    write_whole(folder.tokenizer, tokenizer_model(preparation, train, on_progress))
    tokenizer = load_tokenizer_file(folder.tokenizer)
    on_progress(f"tokenizing {len(train) + len(validation):,} documents")
    encoder = DocumentEncoder(tokenizer)
    splits = {
        prefix: encoder.write(documents, ShardWriter(preparation.out, f"fineweb_{prefix}"))
        for prefix, documents in (("train", train), ("val", validation))
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
    on_progress("scoring the validation text with an order-2 byte model and brotli, for comparison")
    write_references(preparation.out, measure_references(texts(train), texts(validation)))
    ids = dict(enumerate(document.id for document in validation))
    keep_overlap(preparation.out, OverlapSearch(preparation.out, manifest).overlap(ids))
    manifest.write(preparation.out)
    return manifest


def check_unicode(document: Document) -> None:
    """Check that a document can be encoded as UTF-8.

    Raises:
        DataError: it cannot; names the document.
    """
    try:
        document.text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{document.id}: character {error.start} is a lone surrogate, which UTF-8 cannot encode; fix the text"
        ) from error


def is_validation(text: str, fraction: float) -> bool:
    """Return whether a text belongs to the validation split, by the SHA-256 of its normalized form.

    Normalization maps texts that a tokenizer may encode alike to one form, so that they share a split.
    """
    normalized = " ".join(unicodedata.normalize("NFKC", text.replace(SPACE_MARK, " ")).split())
    leading = int.from_bytes(hashlib.sha256(normalized.encode(errors="surrogatepass")).digest()[:3], "big")
    return leading < fraction * HASH_RANGE


def texts(documents: Iterable[Document]) -> Iterator[str]:
    return (document.text for document in documents)


def tokenizer_model(preparation: Preparation, train: list[Document], on_progress: Callable[[str], None]) -> bytes:
    """Return the bytes of tokenizer.model: the given file, or one trained on the training split only."""
    if preparation.tokenizer is not None:
        load_tokenizer_file(preparation.tokenizer)
        return preparation.tokenizer.read_bytes()
    on_progress(f"training a tokenizer of {preparation.vocabulary_size:,} pieces")
    return train_tokenizer(texts(train), preparation.vocabulary_size)


class DocumentEncoder:
    """Encodes documents and checks whether decoding gives their text back."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.scored_bytes = ScoredByteCounter(tokenizer)
        self.is_lossless = True

    def write(self, documents: list[Document], writer: ShardWriter) -> Split:
        """Write the documents' shards and return the split's manifest entry."""
        begin = self.tokenizer.bos_id()
        tokens_total = bytes_total = 0
        for document in documents:
            tokens = [begin, *self.tokenizer.encode(document.text)]
            self.is_lossless &= self.tokenizer.decode(tokens[1:]) == document.text
            writer.add(tokens)
            tokens_total += len(tokens)
            # Scores count the bytes of the decoded tokens. With a lossy tokenizer those are not the document's, and
            # the manifest says so.
            bytes_total += self.scored_bytes.count(tokens[1:])
        return Split(documents=len(documents), tokens=tokens_total, bytes=bytes_total, shards=writer.close())
