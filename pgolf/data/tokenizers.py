"""SentencePiece tokenizers: trained here, or brought along."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pgolf.errors import DataError
from trainer.recipe.data import SPACE_MARK

BEGIN_OF_DOCUMENT = 1
# Two control pieces, one unknown, 256 bytes and the newline leave nothing to learn below this.
SMALLEST_VOCABULARY = 272
LARGEST_VOCABULARY = 65_536


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> bytes:
    """A byte-fallback BPE model that gives every text back unchanged.

    Raises: DataError when the size is out of range or the text too small for it.
    """
    import sentencepiece

    if not SMALLEST_VOCABULARY <= vocabulary_size <= LARGEST_VOCABULARY:
        raise DataError(
            f"a vocabulary of {vocabulary_size} pieces is not possible; "
            f"expected {SMALLEST_VOCABULARY} to {LARGEST_VOCABULARY}"
        )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary_size,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            user_defined_symbols=["\n"],
            max_sentence_length=1 << 20,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise DataError(f"no tokenizer of {vocabulary_size} pieces can be trained on this text: {error}") from error
    return model.getvalue()


def lines(texts: Iterable[str]) -> Iterator[str]:
    """Non-empty lines; a newline is a piece of its own and nothing is merged across it."""
    for text in texts:
        for line in text.split("\n"):
            if line.strip():
                yield line


def load_tokenizer_file(path: Path) -> Any:
    """The SentencePiece processor of a .model file.

    Raises: DataError when it is not one, or has more pieces than a uint16 can number.
    """
    import sentencepiece

    try:
        tokenizer = sentencepiece.SentencePieceProcessor()
        tokenizer.LoadFromSerializedProto(path.read_bytes())
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path} is not a SentencePiece model: {error}") from error
    if not tokenizer.get_piece_size():
        raise DataError(f"{path} is empty, not a SentencePiece model")
    if tokenizer.get_piece_size() > LARGEST_VOCABULARY:
        raise DataError(f"{path} has {tokenizer.get_piece_size():,} pieces; shards hold uint16")
    if not tokenizer.is_control(tokenizer.bos_id()):
        raise DataError(f"{path} has no begin-of-document piece; train it with a BOS control symbol")
    return tokenizer


class ScoredBytes:
    """UTF-8 bytes of documents, as the challenge's rule counts them from their tokens.

    They are the text's own, but for one: the challenge's tokenizers put no space mark before a text, and so the mark of
    a text that begins with a space stands after a control token, where the rule does not count it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.has_dummy_prefix = self.begins_with_mark(tokenizer.encode("a"))

    def begins_with_mark(self, tokens: list[int]) -> bool:
        return bool(tokens) and self.tokenizer.id_to_piece(tokens[0]).startswith(SPACE_MARK)

    def count(self, tokens: list[int]) -> int:
        """Bytes of the document whose tokens, without BOS, are given."""
        is_space_lost = not self.has_dummy_prefix and self.begins_with_mark(tokens)
        return len(self.tokenizer.decode(tokens).encode()) - is_space_lost
