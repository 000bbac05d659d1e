"""Prepares text as shards: split by document, tokenize, write, check."""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from pgolf.data.corpora import Document
from pgolf.data.encoding import DocumentEncoder, symbols_of, written_text
from pgolf.data.manifests import Manifest, TokenizerEntry
from pgolf.data.near_duplicates import near_duplicates
from pgolf.data.overlap import Overlap, OverlapSearch, keep_overlap, measure_overlap, read_overlap
from pgolf.data.prepared_folder import Dropped, DropReason, Origin, check_free, publish, read_complete
from pgolf.data.references import keep_references, measure_references, read_references, write_references
from pgolf.data.scratch import scratch_folder
from pgolf.data.tokenizers import load_tokenizer, read_tokenizer_file, train_tokenizer
from pgolf.data.verify import check_files
from pgolf.errors import DataError
from pgolf.findings import counted
from trainer.recipe.data import SPACE_MARK, Transform
from trainer.recipe.files import DataFiles
from trainer.recipe.writing import write_whole

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
    is_overlap_dropped: bool = False
    """Leave out training documents that have text in common with validation documents."""
    transform: Transform | None = None
    """How to rewrite the text before it is tokenized."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A complete folder of shards."""

    manifest: Manifest
    overlap: Overlap
    dropped: list[Dropped]


def prepare(
    documents: Iterable[Document], preparation: Preparation, on_progress: Callable[[str], None] = ignore_progress
) -> Prepared:
    """Write tokenizer, shards, manifest and what was measured of them to `preparation.out`.

    A document's split depends on its text alone, so equal texts are never in both splits. A folder that is complete
    already is left as it is, and one that is unfinished or damaged is replaced.

    Raises:
        DataError: there is no text or a split is empty.
        UsageError: the folder holds other data.
    """
    out = preparation.out
    check_free(out)
    model = None if preparation.tokenizer is None else read_model_file(preparation.tokenizer)
    corpus = Corpus.split(documents, preparation.validation_fraction)
    origin = origin_of(corpus, preparation, model)
    with scratch_folder(out, ".prepare", "preparing", on_progress) as scratch:
        if (held := held_folder(out, origin, corpus, on_progress)) is not None:
            return held
        prepared = build(corpus, replace(preparation, out=scratch), model, on_progress)
        known = {"dropped": prepared.dropped, "manifest_sha256": prepared.manifest.sha256}
        publish(scratch, out, origin.model_copy(update=known))
    return prepared


def read_model_file(path: Path) -> bytes:
    """Return the content of a given tokenizer.

    Raises:
        DataError: it is not a tokenizer that shards can be written with.
    """
    model = read_tokenizer_file(path)
    load_tokenizer(model, path)
    return model


def origin_of(corpus: "Corpus", preparation: Preparation, model: bytes | None) -> Origin:
    """Return what decides the bytes of a preparation; `model` is the given tokenizer."""
    text = hashlib.sha256()
    for documents in (corpus.train, corpus.validation):
        text.update(b"%d\n" % len(documents))
        for document in documents:
            text.update(hashlib.sha256(document.text.encode()).digest())
    return Origin(
        text_sha256=text.hexdigest(),
        validation_fraction=preparation.validation_fraction,
        tokenizer_sha256=None if model is None else hashlib.sha256(model).hexdigest(),
        vocabulary_size=preparation.vocabulary_size if model is None else None,
        is_overlap_dropped=preparation.is_overlap_dropped,
        transform=preparation.transform,
    )


def held_folder(out: Path, origin: Origin, corpus: "Corpus", on_progress: Callable[[str], None]) -> Prepared | None:
    """Return what the folder holds if it is complete and intact, else None.

    Raises:
        UsageError: it was prepared from another text or with other options.
    """
    held = read_complete(out, origin)
    if held is None:
        return None
    try:
        manifest = check_files(out)
    except DataError as error:
        on_progress(f"{error}; preparing the data again")
        return None
    on_progress(f"{out} is already prepared from the same text: nothing to do")
    overlap = read_overlap(out, manifest.sha256) or measure_overlap(out, manifest)
    if read_references(out) is None:
        left_out = {document.id for document in held.dropped}
        train = [document for document in corpus.train if document.id not in left_out]
        keep_references(out, measure_references(texts(train), texts(corpus.validation)))
    return Prepared(manifest, overlap, held.dropped)


def build(
    corpus: "Corpus", preparation: Preparation, model: bytes | None, on_progress: Callable[[str], None]
) -> Prepared:
    """Write a corpus as shards, with their manifest and what was measured of them, into an empty folder."""
    if preparation.is_overlap_dropped:
        on_progress("looking for near duplicates of validation documents in the training split")
        duplicates = near_duplicates([*texts(corpus.train)], [*texts(corpus.validation)])
        corpus.drop(duplicates, "near_duplicate")
    manifest = write_shards(corpus, preparation, model, on_progress)
    search = OverlapSearch(preparation.out, manifest)
    # Without these documents the tokenizer is another one, and so are the spans: look again until there are none.
    while preparation.is_overlap_dropped and (shared := search.training_documents()):
        on_progress(f"leaving out {len(shared):,} training documents that contain text of validation documents")
        corpus.drop(shared, "shared_text")
        remove_shards(preparation.out, manifest)
        manifest = write_shards(corpus, preparation, model, on_progress)
        search = OverlapSearch(preparation.out, manifest)
    overlap = search.overlap(dict(enumerate(document.id for document in corpus.validation)))
    keep_overlap(preparation.out, overlap)
    on_progress("scoring the validation text with an order-2 byte model and brotli, for comparison")
    write_references(preparation.out, measure_references(texts(corpus.train), texts(corpus.validation)))
    manifest.write(preparation.out)
    return Prepared(manifest, overlap, corpus.dropped)


@dataclass(slots=True)
class Corpus:
    """The documents of both splits, and those that were left out."""

    train: list[Document]
    validation: list[Document]
    dropped: list[Dropped] = field(default_factory=list)

    @classmethod
    def split(cls, documents: Iterable[Document], validation_fraction: float) -> Self:
        """Return the documents that are not empty, by split.

        Raises:
            DataError: a split is empty, or a text cannot be encoded.
        """
        corpus = cls([], [])
        for document in documents:
            if document.text:
                check_unicode(document)
                is_held_out = is_validation(document.text, validation_fraction)
                (corpus.validation if is_held_out else corpus.train).append(document)
        if not corpus.train or not corpus.validation:
            raise DataError(
                f"found {len(corpus.train)} training and {len(corpus.validation)} validation documents, expected at "
                "least one of each. Add documents or change --val-fraction"
            )
        return corpus

    def drop(self, positions: Iterable[int], reason: DropReason) -> None:
        """Leave out training documents by their positions.

        Raises:
            DataError: no training document is left.
        """
        left_out = {*positions}
        self.dropped += [Dropped(self.train[position].id, reason) for position in sorted(left_out)]
        self.train = [document for position, document in enumerate(self.train) if position not in left_out]
        if not self.train:
            raise DataError(
                f"--drop-overlap leaves no training document: all {len(self.dropped):,} have text in common with "
                "validation documents. Add documents or change --val-fraction"
            )


def write_shards(
    corpus: Corpus, preparation: Preparation, model: bytes | None, on_progress: Callable[[str], None]
) -> Manifest:
    """Write tokenizer and shards, and return their manifest. Without a given model, train one on the training split."""
    if model is None:
        on_progress(f"training a tokenizer of {preparation.vocabulary_size:,} pieces")
        written = (written_text(text, preparation.transform) for text in texts(corpus.train))
        model = train_tokenizer(written, preparation.vocabulary_size, symbols_of(preparation.transform))
    folder = DataFiles(preparation.out)
    write_whole(folder.tokenizer, model)
    tokenizer = load_tokenizer(model, folder.tokenizer)
    on_progress(f"tokenizing {counted(len(corpus.train) + len(corpus.validation), 'document')}")
    encoder = DocumentEncoder(tokenizer, preparation.transform)
    splits = {
        prefix: encoder.write(documents, preparation.out, prefix)
        for prefix, documents in (("train", corpus.train), ("val", corpus.validation))
    }
    return Manifest(
        format="pgolf-shards-1" if preparation.transform is None else "pgolf-shards-2",
        name=preparation.name,
        transform=preparation.transform,
        tokenizer=TokenizerEntry(
            vocabulary_size=tokenizer.get_piece_size(),
            sha256=hashlib.sha256(model).hexdigest(),
            lossless=encoder.is_lossless,
        ),
        train=splits["train"],
        validation=splits["val"],
    )


def remove_shards(folder: Path, manifest: Manifest) -> None:
    """Delete the shards of a manifest: new ones may be fewer."""
    for entry in (*manifest.train.files, *manifest.validation.files):
        DataFiles(folder).shard(entry.file).unlink()


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
