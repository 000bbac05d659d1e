"""ByteCounts against counts by hand and the UTF-8 length of the text."""

import io

import numpy as np
import pytest
import sentencepiece

from pgolf.data.tokenizers import ScoredByteCounter, train_tokenizer
from trainer.evaluation.byte_counts import ByteCounts

TEXTS = [
    "the cat sat on the mat\nthe dog\n\n  sat  too",
    " leading space",
    "naïve café — 日本 🎉",
    "tab\tand\r\nreturn",
]


@pytest.fixture(scope="module")
def tokenizer() -> sentencepiece.SentencePieceProcessor:
    model = train_tokenizer(["the cat sat on the mat and the dog sat on the cat too\n    indented text here"] * 50, 300)
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def challenge_tokenizer() -> sentencepiece.SentencePieceProcessor:
    """Return a tokenizer without pieces of several spaces, like those of the challenge."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the cat sat on the mat and the dog sat on the cat too"] * 50),
        model_writer=model, vocab_size=290, model_type="bpe", byte_fallback=True, minloglevel=2,
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


@pytest.mark.parametrize("text", TEXTS)
def test_the_sum_over_a_document_is_its_utf8_length(tokenizer: sentencepiece.SentencePieceProcessor, text: str) -> None:
    tokens = np.array([tokenizer.bos_id(), *tokenizer.encode(text)])
    assert ByteCounts(tokenizer).of_targets(tokens).sum() == len(text.encode())


def test_a_stream_of_documents_has_the_bytes_of_all_of_them(tokenizer: sentencepiece.SentencePieceProcessor) -> None:
    tokens = np.concatenate([[tokenizer.bos_id(), *tokenizer.encode(text)] for text in TEXTS])
    assert ByteCounts(tokenizer).of_targets(tokens).sum() == sum(len(text.encode()) for text in TEXTS)


def test_the_rule_by_hand() -> None:
    tokenizer = challenge_tokenizer()
    the, cat = tokenizer.piece_to_id("\u2581the"), tokenizer.piece_to_id("\u2581cat")
    byte, bos, unknown = tokenizer.piece_to_id("<0xE2>"), tokenizer.bos_id(), tokenizer.unk_id()
    tokens = np.array([bos, the, cat, byte, the, unknown, cat, bos, bos])
    #    after bos: 3; " cat": 4; a byte: 1; " the": 4; unknown: 0; after unknown: 3; control: 0, 0
    assert ByteCounts(tokenizer).of_targets(tokens).tolist() == [3, 4, 1, 4, 0, 3, 0, 0]


@pytest.mark.parametrize("text", [*TEXTS, "  two spaces", "\N{LOWER ONE EIGHTH BLOCK}mark"])
@pytest.mark.parametrize("has_prefix", [True, False])
def test_prepare_counts_the_bytes_that_are_scored(text: str, has_prefix: bool) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the cat sat on the mat and the dog sat on the cat too"] * 50),
        model_writer=model, vocab_size=290, model_type="bpe", byte_fallback=True, minloglevel=2,
        add_dummy_prefix=has_prefix, normalization_rule_name="identity", remove_extra_whitespaces=False,
    )  # fmt: skip
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    tokens = tokenizer.encode(text)
    counted = ByteCounts(tokenizer).of_targets(np.array([tokenizer.bos_id(), *tokens])).sum()
    assert ScoredByteCounter(tokenizer).count(tokens) == counted
    is_space_lost = not has_prefix and tokenizer.decode(tokens).startswith(" ")
    assert counted == len(tokenizer.decode(tokens).encode()) - is_space_lost
