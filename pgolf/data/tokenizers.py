"""Trains and loads SentencePiece tokenizers."""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pgolf.errors import DataError
from trainer.recipe.data import SPACE_MARK
from trainer.recipe.reading import read_bytes

# Two control pieces, one unknown, 256 bytes and the newline: smaller vocabularies would leave too few pieces to learn.
SMALLEST_VOCABULARY = 272
LARGEST_VOCABULARY = 65_536


def train_tokenizer(texts: Iterable[str], vocabulary_size: int, symbols: Sequence[str] = ()) -> bytes:
    """Train a lossless byte-fallback BPE model and return its serialized form. Each symbol is a piece of its own.

    Raises:
        DataError: the size is out of range or the text is too small for it.
    """
    import sentencepiece

    if not SMALLEST_VOCABULARY <= vocabulary_size <= LARGEST_VOCABULARY:
        raise DataError(
            f"found a vocabulary of {vocabulary_size} pieces, expected {SMALLEST_VOCABULARY} to {LARGEST_VOCABULARY}"
        )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=nonempty_lines(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary_size,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            user_defined_symbols=["\n", *symbols],
            max_sentence_length=1 << 20,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise DataError(f"cannot train a tokenizer of {vocabulary_size} pieces on this text: {error}") from error
    return model.getvalue()


def nonempty_lines(texts: Iterable[str]) -> Iterator[str]:
    """Yield lines without their newlines: a newline is a piece of its own, and no piece spans one."""
    for text in texts:
        for line in text.split("\n"):
            if line.strip():
                yield line


def load_tokenizer_file(path: Path) -> Any:
    """Return the SentencePiece processor of a .model file.

    Raises:
        DataError: the file is not a model, has no BOS, or has more pieces than a uint16 can number.
    """
    return load_tokenizer(read_tokenizer_file(path), path)


def read_tokenizer_file(path: Path) -> bytes:
    """Return the content of a .model file.

    Raises:
        DataError: the file is missing, too large, or no regular file.
    """
    try:
        return read_bytes(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a SentencePiece model: {error}") from error


def load_tokenizer(content: bytes, path: Path) -> Any:
    """Return the SentencePiece processor of a model that was read from `path`.

    Raises:
        DataError: it is not a model, has no BOS, or has more pieces than a uint16 can number.
    """
    import sentencepiece

    try:
        if not content:
            raise ValueError("the file is empty")
        tokenizer = sentencepiece.SentencePieceProcessor()
        tokenizer.LoadFromSerializedProto(content)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{path} is not a SentencePiece model: {error}") from error
    if not tokenizer.get_piece_size():
        raise DataError(f"{path} is not a SentencePiece model: it has no pieces")
    if tokenizer.get_piece_size() > LARGEST_VOCABULARY:
        raise DataError(
            f"{path}: found {tokenizer.get_piece_size():,} pieces, expected at most {LARGEST_VOCABULARY:,}, because "
            "shards store tokens as uint16"
        )
    for piece in range(tokenizer.get_piece_size()):
        try:
            tokenizer.id_to_piece(piece)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: piece {piece} is not UTF-8: {error}") from error
    if not tokenizer.is_control(tokenizer.bos_id()):
        raise DataError(f"{path}: found no begin-of-document piece; train the model with a BOS control symbol")
    return tokenizer


class ScoredByteCounter:
    """Counts UTF-8 bytes of documents by the challenge's rule on their tokens.

    This is the length of the text, with one exception: the challenge's tokenizers add no space mark before a text, so
    the mark of a text that begins with a space follows a control token, where the rule does not count it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.has_dummy_prefix = self.begins_with_mark(tokenizer.encode("a"))

    def begins_with_mark(self, tokens: list[int]) -> bool:
        return bool(tokens) and self.tokenizer.id_to_piece(tokens[0]).startswith(SPACE_MARK)

    def count(self, tokens: list[int]) -> int:
        """Return the bytes of a document, given its tokens without BOS."""
        is_space_lost = not self.has_dummy_prefix and self.begins_with_mark(tokens)
        return len(self.tokenizer.decode(tokens).encode()) - is_space_lost
