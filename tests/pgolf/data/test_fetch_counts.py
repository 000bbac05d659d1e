"""Array counts of tokens and bytes equal counts by decoding document by document."""

import random
import struct
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.data import token_bytes
from pgolf.data.token_bytes import StreamCounter
from pgolf.data.tokenizers import ScoredByteCounter, train_tokenizer
from pgolf.errors import DataError
from tests.pgolf.data.builders import LOSSLESS_NASTY, MARKED, sentences
from tests.pgolf.data.published import shard
from trainer.evaluation.byte_counts import ByteCounts

TOKENIZER = sentencepiece.SentencePieceProcessor(model_proto=train_tokenizer(sentences(80), 300))
TEXTS = [*sentences(60), *LOSSLESS_NASTY, *MARKED, ""]
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\N{LOWER ONE EIGHTH BLOCK}"))


def stream(texts: list[str], tokenizer: sentencepiece.SentencePieceProcessor = TOKENIZER) -> list[int]:
    return [token for text in texts for token in (1, *tokenizer.encode(text))]


def counted(tokens: list[int], cuts: list[int], tokenizer: object = TOKENIZER) -> StreamCounter:
    """Count a stream that arrives in parts."""
    counts = StreamCounter(tokenizer)
    for part in np.split(np.array(tokens, dtype=np.uint16), sorted(cuts)):
        counts.add(part)
    return counts


def check(texts: list[str], cuts: list[int], tokenizer: sentencepiece.SentencePieceProcessor = TOKENIZER) -> None:
    scored = ScoredByteCounter(tokenizer)
    tokens = stream(texts, tokenizer)
    found = counted(tokens, cuts, tokenizer)
    assert found.bytes == sum(scored.count(tokenizer.encode(text)) for text in texts)
    assert (found.documents, found.tokens) == (len(texts), len(tokens))
    assert found.bytes == int(ByteCounts(tokenizer).of_targets(np.array(tokens)).sum(dtype=np.int64))


@settings(deadline=None, max_examples=60)
@given(st.lists(TEXT, min_size=1), st.lists(st.integers(0, 200)))
def test_counts_of_any_text_in_any_parts(texts: list[str], cuts: list[int]) -> None:
    check(texts, [min(cut, len(stream(texts))) for cut in cuts])


@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
def test_counts_of_nasty_texts_cut_anywhere(size: int) -> None:
    check(TEXTS, list(range(0, len(stream(TEXTS)), size)))


def test_a_tokenizer_that_puts_a_mark_before_each_text(shared_data: Path) -> None:
    for name in ("fineweb_1024_bpe.model", "fineweb_8192_bpe.model"):
        model = (shared_data / "tokenizers" / name).read_bytes()
        check(sentences(60), [5, 50, 51], sentencepiece.SentencePieceProcessor(model_proto=model))


def test_random_tokens_are_counted_as_the_trainer_counts_them() -> None:
    tokens = [1, *random.Random(7).choices(range(300), k=5_000)]
    assert counted(tokens, [17, 1_000]).bytes == ByteCounts(TOKENIZER).of_targets(np.array(tokens)).sum()


def test_a_shard_is_counted_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_bytes, "CHUNK_TOKENS", 13)
    tokens = stream(TEXTS)
    middle = len(tokens) // 2
    counts = StreamCounter(TOKENIZER)
    for number, part in enumerate((tokens[:middle], tokens[middle:])):
        (tmp_path / f"{number}.bin").write_bytes(shard(part))
        assert counts.add_shard(tmp_path / f"{number}.bin") == len(part)
    assert (counts.bytes, counts.documents) == (counted(tokens, []).bytes, len(TEXTS))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes that begin with"),
        (b"\1" * 1023, "1,023 bytes"),
        (b"\0" * 1030, "not a token shard"),
        (shard([1, 5])[:-1], "says 2 tokens of 2 bytes, but 3 bytes follow"),
        (shard([1, 5]) + b"ab", "says 2 tokens of 2 bytes, but 6 bytes follow"),
        (shard([]), "says 0 tokens"),
        (struct.pack("<256i", 20240520, 1, -2, *[0] * 253), "says -2 tokens"),
        (shard([1, 5, 300]), "token 300 is not one of"),
        (shard([5, 1]), "found token 5 first"),
    ],
)
def test_an_invalid_shard_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(DataError) as caught:
        StreamCounter(TOKENIZER).add_shard(tmp_path / "x.bin")
    assert str(caught.value).startswith(str(tmp_path / "x.bin"))
    assert words in str(caught.value)
