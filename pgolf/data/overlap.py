"""Measures how much validation text is in the training text, and alone decides how bad that is.

Whole documents that are in both splits are easy to find, but a leaky export cuts and joins them differently. So each
validation document is cut into spans of 64 tokens, and each span is looked up at every position of the training text. A
document shorter than a span is looked up whole, among whole documents.

What was measured is kept in overlap.json beside the manifest, with the hash of the data, for preflight and reports.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pgolf.data.manifests import Manifest, ManifestPart, Split
from pgolf.data.shards import read_shard, split_documents
from pgolf.data.spans import SPAN_TOKENS, SpanHasher, WantedHashes, find_in_stream, stream_chunks
from pgolf.data.tokenizers import load_tokenizer_file
from pgolf.documents import read_model
from pgolf.errors import DataError
from pgolf.findings import Finding
from trainer.recipe.files import DataFiles
from trainer.recipe.writing import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pgolf.data.spans import Hashes, Positions, Tokens

    Counts = NDArray[np.int64]

FILE_NAME = "overlap.json"
# Share of a document's spans from which it counts as overlapping; web texts share boilerplate, which is no leak.
SHARE_OF_A_DOCUMENT = 0.5
# Web corpora that are deduplicated crawl by crawl contain some duplicates; in the known leaky export 80 % of the
# validation documents are in the training text.
TOLERATED_SHARE_OF_DOCUMENTS = 0.05
NAMED_DOCUMENTS = 10
NAMED_TOKENS, NAMED_CHARACTERS = 60, 60
# Up to this size, data that was never measured is measured when it is first needed; takes about two seconds.
QUICK_TOKENS = 30_000_000
TOKENS_PER_SECOND = 20_000_000


class OverlappingDocument(ManifestPart):
    """A validation document that is in the training text."""

    position: int
    """In the validation split, from 0."""
    spans: int
    found: int
    """Number of its spans that are in the training text."""
    id: str | None
    """Its id in the text that was prepared, such as `corpus.jsonl:12`; None if only the shards are known."""
    beginning: str
    """Its first words."""

    def describe(self) -> str:
        """Return the document as one line."""
        known = f"{self.id}, " if self.id else ""
        return f"validation document {self.position} ({known}{self.found:,} of {self.spans:,} spans): {self.beginning}"


class Overlap(ManifestPart):
    """How much of the validation text is in the training text."""

    data_sha256: str
    """The manifest's."""
    documents: int
    """Number of validation documents that are not empty."""
    overlapping: int
    """Number of those of which at least half is in the training text."""
    spans: int
    """Number of spans of the validation text; a shorter document counts as one."""
    found: int
    """Number of those that are in the training text."""
    named: list[OverlappingDocument]
    """The first ten overlapping documents."""

    def finding(self, folder: Path | None = None) -> Finding:
        """Return the verdict that every command gives; with a folder, its fix says how to see the documents."""
        verb = "is" if self.overlapping == 1 else "are"
        message = (
            f"{self.overlapping:,} of {self.documents:,} validation documents {verb} in the training text "
            f"({self.found:,} of {self.spans:,} spans of {SPAN_TOKENS} tokens)"
        )
        if not self.overlapping:
            return Finding("pass", "overlap", message)
        is_leak = self.overlapping > TOLERATED_SHARE_OF_DOCUMENTS * self.documents
        fix = (
            "`pgolf data prepare --drop-overlap` prepares the text again without the training documents that contain "
            "them"
        )
        if folder is not None:
            fix = f"`pgolf data verify {folder}` names the documents; {fix}"
        return Finding("fail" if is_leak else "warn", "overlap", message, fix)

    def describe_documents(self) -> list[str]:
        """Return a line for each named document, and one for the number of the others."""
        lines = [document.describe() for document in self.named]
        others = self.overlapping - len(self.named)
        return [*lines, *([f"and {others:,} more"] if others else [])]


@dataclass(frozen=True, slots=True)
class SpanCounts:
    """The spans of each validation document, and how many of them are in the training text. Shapes: (documents,)."""

    spans: "Counts"
    found: "Counts"

    def overlapping(self) -> "Counts":
        """Return the positions of the documents of which at least half is in the training text."""
        import numpy as np

        return np.flatnonzero((self.spans > 0) & (self.found >= SHARE_OF_A_DOCUMENT * self.spans))


class OverlapSearch:
    """Looks up the validation documents of a folder of shards in its training text."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.tokenizer = load_tokenizer_file(DataFiles(folder).tokenizer)
        self.begin = self.tokenizer.bos_id()
        self.hasher = SpanHasher(self.tokenizer.get_piece_size(), self.begin)
        self.documents = list(split_documents(self.read_stream(manifest.validation), self.begin))
        self.hashes = [self.hasher.hash_document(document) for document in self.documents]
        self.counts = self.count_spans()

    def read_stream(self, split: Split) -> "Tokens":
        """Return the tokens of a split."""
        import numpy as np

        shards = (read_shard(self.folder / entry.file) for entry in split.shards)
        return np.concatenate([np.empty(0, dtype=np.uint16), *shards])

    def overlap(self, ids: Mapping[int, str | None]) -> Overlap:
        """Return what was found, given the ids of validation documents by position, as far as they are known."""
        counts = self.counts
        positions = counts.overlapping().tolist()
        return Overlap(
            data_sha256=self.manifest.sha256,
            documents=int((counts.spans > 0).sum()),
            overlapping=len(positions),
            spans=int(counts.spans.sum()),
            found=int(counts.found.sum()),
            named=[
                OverlappingDocument(
                    position=position,
                    spans=int(counts.spans[position]),
                    found=int(counts.found[position]),
                    id=ids.get(position),
                    beginning=first_words(self.tokenizer.decode(self.documents[position][:NAMED_TOKENS].tolist())),
                )
                for position in positions[:NAMED_DOCUMENTS]
            ],
        )

    def count_spans(self) -> SpanCounts:
        """Count the spans of each validation document."""
        import numpy as np

        spans = np.array([len(hashes) for hashes in self.hashes], dtype=np.int64)
        wanted = np.concatenate([np.empty(0, dtype=np.uint64), *self.hashes])
        hits = [np.unique(hashes) for _, hashes in self.find_in_training(wanted)]
        is_found = np.isin(wanted, np.concatenate([np.empty(0, dtype=np.uint64), *hits]))
        owners = np.repeat(np.arange(len(spans)), spans)
        found = np.bincount(owners, weights=is_found, minlength=len(spans))
        return SpanCounts(spans, found.astype(np.int64))

    def find_in_training(self, wanted: "Hashes") -> Iterator[tuple["Positions", "Hashes"]]:
        """Yield positions in the training text of wanted spans and short documents, with their hashes."""
        chunks = stream_chunks(self.folder, self.manifest.train.shards, self.begin)
        return find_in_stream(chunks, self.hasher, WantedHashes(wanted))

    def training_documents(self) -> list[int]:
        """Return the positions of the training documents that contain a span of an overlapping validation document."""
        import numpy as np

        overlapping = [self.hashes[position] for position in self.counts.overlapping()]
        if not overlapping:
            return []
        wanted = np.concatenate(overlapping)
        places = np.concatenate([positions for positions, _ in self.find_in_training(wanted)])
        starts = np.flatnonzero(self.read_stream(self.manifest.train) == self.begin)
        documents = np.unique(np.searchsorted(starts, places, side="right") - 1)
        return [int(document) for document in documents]


def first_words(text: str) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= NAMED_CHARACTERS else f"{line[:NAMED_CHARACTERS].rpartition(' ')[0]} ..."


def measure_overlap(folder: Path, manifest: Manifest) -> Overlap:
    """Measure the overlap in a folder of shards.

    Ids of documents are known only if overlap.json has them.

    Raises:
        DataError: the shards do not hold documents of the tokenizer's tokens.
    """
    known = read_overlap(folder, manifest.sha256)
    ids = {document.position: document.id for document in known.named} if known else {}
    return OverlapSearch(folder, manifest).overlap(ids)


def keep_overlap(folder: Path, overlap: Overlap) -> None:
    """Write overlap.json; a folder that is not writable is left as it is."""
    with suppress(OSError):
        write_json(folder / FILE_NAME, overlap.model_dump())


def read_overlap(folder: Path, data_sha256: str) -> Overlap | None:
    """Return what was measured of this data, or None if overlap.json is missing or is about other data."""
    try:
        overlap = read_model(folder / FILE_NAME, Overlap)
    except (OSError, ValueError):
        return None
    return overlap if overlap.data_sha256 == data_sha256 else None


def judge_overlap(folder: Path, manifest: Manifest) -> Finding:
    """Return the verdict on what was measured before, or is measured now if that takes only seconds."""
    overlap = read_overlap(folder, manifest.sha256)
    tokens = manifest.train.tokens + manifest.validation.tokens
    fix = f"pgolf data verify {folder}"
    if overlap is None and tokens > QUICK_TOKENS:
        message = (
            f"whether validation text is in the training text was not measured; for {tokens:,} tokens this takes about "
            f"{tokens / TOKENS_PER_SECOND:,.0f} s"
        )
        return Finding("unknown", "overlap", message, fix)
    if overlap is None:
        try:
            overlap = measure_overlap(folder, manifest)
        except DataError as error:
            return Finding("unknown", "overlap", f"cannot be measured: {error}", fix)
        keep_overlap(folder, overlap)
    return overlap.finding(folder)
