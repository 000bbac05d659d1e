"""Reading documents from files and folders."""

import gzip
import json
import os
import threading
from pathlib import Path

import pytest

from pgolf.data.corpora import read_documents
from pgolf.errors import DataError
from tests.pgolf.data.builders import LOSSLESS_NASTY, MARKED

TEXTS = [*LOSSLESS_NASTY, *MARKED]


def lines(texts: list[str], ascii_only: bool = True) -> bytes:
    return "".join(json.dumps({"text": text}, ensure_ascii=ascii_only) + "\n" for text in texts).encode()


def texts_of(path: Path) -> list[str]:
    return [document.text for document in read_documents(path)]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_pipe_is_read_to_its_end_and_a_device_not_at_all(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    content = "some text" if name == "a.txt" else '{"text": "some text"}'
    writer = threading.Thread(target=(tmp_path / name).write_text, args=(content,))
    writer.start()
    assert texts_of(tmp_path / name) == ["some text"]
    writer.join()
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(DataError, match="found a device, expected a text file, a pipe or a folder"):
        texts_of(tmp_path / name)


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_lines_give_every_text_back(tmp_path: Path, ascii_only: bool) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(TEXTS, ascii_only))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(TEXTS, ascii_only)))
    assert texts_of(tmp_path / "a.jsonl") == TEXTS
    assert texts_of(tmp_path / "a.jsonl.gz") == TEXTS


def test_blank_lines_are_skipped_and_empty_texts_are_documents(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\n{"text": "a"}\n  \n{"text": ""}\r\n{"text": "b"}')
    assert texts_of(tmp_path / "a.jsonl") == ["a", "", "b"]


def test_ids_come_from_the_record_or_from_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a", "id": 7}\n\n{"text": "b"}\n')
    assert [document.id for document in read_documents(tmp_path / "a.jsonl")] == ["7", "a.jsonl:3"]


def test_a_folder_is_read_in_the_order_of_names_and_other_files_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "c.md").write_text("third")
    (tmp_path / "a.txt").write_text("first\n")
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "second"}\n')
    (tmp_path / "sub" / "d.rst").write_text("fourth")
    (tmp_path / "e.png").write_bytes(b"\x89PNG\xff")
    assert texts_of(tmp_path) == ["first\n", "second", "third", "fourth"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"text": "a"}\n{"text": 3}\n', ":2: `text` is int"),
        (b'{"text": "a"}\n{"txt": "b"}\n', ":2: found"),
        (b'{"text": "a"}\n\n[1]\n', ":3: found '[1]'"),
        (b'"text"\n', ":1: found"),
        (b'{"text": "a"}\n{"text": "b\n', ":2: found"),
        (b'{"text": "\xff"}\n', "UTF-8"),
        (b"[" * 100_000, ":1: "),
    ],
    ids=["number", "no text", "list", "string", "cut", "bytes", "brackets"],
)
def test_an_invalid_line_is_refused_with_its_number(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        texts_of(file)
    assert str(caught.value).startswith(str(file))
    assert words in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "no gzip", "first block", "checksum"])
def test_a_damaged_archive_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    content = bytearray(gzip.compress(lines([str(number) * 9 for number in range(300)])))
    match damage:
        case "cut":
            del content[-30:]
        case "no gzip":
            content = bytearray(b"plain text")
        case "first block":
            content[10] |= 0b110  # a block of the reserved type
        case "checksum":
            content[-6] ^= 1
    (tmp_path / "a.jsonl.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.jsonl\.gz"):
        texts_of(tmp_path / "a.jsonl.gz")


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no \.jsonl"):
        texts_of(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        texts_of(tmp_path / "gone.jsonl")
