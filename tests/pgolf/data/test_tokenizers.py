"""Training and loading tokenizers."""

from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.data.tokenizers import load_tokenizer_file, train_tokenizer
from pgolf.errors import DataError
from tests.pgolf.data.builders import sentences

MODEL = train_tokenizer(sentences(80), 300)
TOKENIZER = sentencepiece.SentencePieceProcessor(model_proto=MODEL)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\N{LOWER ONE EIGHTH BLOCK}")))
def test_every_text_without_the_space_mark_round_trips(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_a_newline_is_one_piece_and_no_piece_spans_one() -> None:
    pieces = TOKENIZER.encode("the\nthe\n\nfox", out_type=str)
    assert [piece for piece in pieces if "\n" in piece] == ["\n", "\n", "\n"]


def test_the_first_pieces_are_unknown_begin_end_and_the_vocabulary_is_exact() -> None:
    assert TOKENIZER.get_piece_size() == 300
    assert TOKENIZER.bos_id() == 1
    assert TOKENIZER.is_control(1)
    assert sum(TOKENIZER.is_byte(piece) for piece in range(300)) == 256


@pytest.mark.parametrize("size", [0, -1, 271, 65_537])
def test_a_vocabulary_out_of_range_is_refused_with_the_range(size: int) -> None:
    with pytest.raises(DataError, match="expected 272 to 65536"):
        train_tokenizer(sentences(80), size)


def test_too_little_text_for_a_vocabulary_is_refused() -> None:
    with pytest.raises(DataError, match="cannot train a tokenizer of 5000 pieces"):
        train_tokenizer(["a few words"], 5000)
    with pytest.raises(DataError, match="cannot train a tokenizer of 300 pieces"):
        train_tokenizer([" ", "\n"], 300)


@pytest.mark.parametrize("content", [b"", b"not a model", MODEL[:1000]])
def test_a_file_that_is_not_a_model_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "t.model"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.model"):
        load_tokenizer_file(file)
    with pytest.raises(DataError, match=r"gone\.model"):
        load_tokenizer_file(tmp_path / "gone.model")
