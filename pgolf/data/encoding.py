"""Encodes documents as tokens and, if their text is transformed, as bytes of the original that each stands for."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pgolf.data.corpora import Document
from pgolf.data.manifests import Split
from pgolf.data.shards import ShardWriter
from pgolf.data.tokenizers import ScoredByteCounter
from pgolf.errors import DataError
from trainer.recipe.data import Transform


def symbols_of(transform: Transform | None) -> tuple[str, ...]:
    """Return the characters that a transform adds to a text, each of which is a piece of its own."""
    if transform is None:
        return ()
    from trainer.recipe.caseops import OPERATORS

    return OPERATORS


def written_text(text: str, transform: Transform | None) -> str:
    """Return a text as it is tokenized."""
    if transform is None:
        return text
    from trainer.recipe.caseops import to_caseops

    return to_caseops(text)


def original_text(written: str, transform: Transform | None) -> str | None:
    """Return the text that was written so, or None if no text is."""
    if transform is None:
        return written
    from trainer.recipe.caseops import NotCaseOps, from_caseops

    try:
        return from_caseops(written)
    except NotCaseOps:
        return None


class DocumentEncoder:
    """Encodes documents and checks whether decoding gives their text back.

    Raises:
        DataError: the tokenizer lacks the pieces that the transform needs.
    """

    def __init__(self, tokenizer: Any, transform: Transform | None) -> None:
        self.tokenizer, self.transform = tokenizer, transform
        self.scored_bytes = ScoredByteCounter(tokenizer)
        self.piece_bytes = None if transform is None else caseops_bytes(tokenizer)
        self.is_lossless = True

    def write(self, documents: Iterable[Document], folder: Path, prefix: str) -> Split:
        """Write the shards of a split, with sidecars if it is validation text, and return its manifest entry."""
        writer, sidecars = ShardWriter(folder, f"fineweb_{prefix}"), None
        if self.transform is not None and prefix == "val":
            sidecars = ShardWriter(folder, f"fineweb_{prefix}_bytes")
        begin = self.tokenizer.bos_id()
        count = tokens_total = bytes_total = 0
        for document in documents:
            tokens = [begin, *self.tokenizer.encode(written_text(document.text, self.transform))]
            decoded = self.tokenizer.decode(tokens[1:])
            self.is_lossless &= original_text(decoded, self.transform) == document.text
            writer.add(tokens)
            count += 1
            tokens_total += len(tokens)
            # Scores count the bytes of the decoded tokens. With a lossy tokenizer those are not the document's, and
            # the manifest says so.
            if self.piece_bytes is None:
                bytes_total += self.scored_bytes.count(tokens[1:])
            else:
                import numpy as np

                stood_for = self.piece_bytes.of(np.array(tokens)).tolist()
                bytes_total += sum(stood_for)
                if sidecars is not None:
                    sidecars.add(stood_for)
        entries = [] if sidecars is None else sidecars.close()
        return Split(documents=count, tokens=tokens_total, bytes=bytes_total, shards=writer.close(), sidecars=entries)


def caseops_bytes(tokenizer: Any) -> Any:
    """Return what counts the bytes of CaseOps tokens.

    Raises:
        DataError: the tokenizer lacks an operator.
    """
    from trainer.recipe.caseops import CaseOpsBytes, NotCaseOps

    try:
        return CaseOpsBytes(tokenizer)
    except NotCaseOps as error:
        raise DataError(f"{error}; train one with `pgolf data prepare --transform caseops --vocab N`") from error
