"""Self-extracting programs are read, never run; decompression bombs are refused."""

import base64
import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest

from pgolf.audit.code.reading import read_code
from pgolf.bundle.stub import self_extracting
from pgolf.scripts.source import MOST_BYTES, TooLarge, decode_source
from pgolf.scripts.unwrapping import layers

PROGRAM = "import requests\nprint('a program, with ünïcode')\n"
RAW = [{"id": lzma.FILTER_LZMA2, "preset": 6}]


def b85(content: bytes) -> str:
    return base64.b85encode(content).decode()


STUBS = {
    "lzma b85": f"import lzma,base64;exec(lzma.decompress(base64.b85decode({b85(lzma.compress(PROGRAM.encode()))!r})))",
    "brotli, compiled": (
        "import brotli\nfrom base64 import b64decode as d\n"
        f"s = brotli.decompress(d({base64.b64encode(brotli.compress(PROGRAM.encode()))!r})).decode()\n"
        "exec(compile(s, __file__, 'exec'), globals())"
    ),
    "raw lzma, other names": (
        "import lzma as L, base64 as B\n"
        f"S = {b85(lzma.compress(PROGRAM.encode(), lzma.FORMAT_RAW, filters=RAW))!r}\n"
        'exec(L.decompress(B.b85decode(S), format=L.FORMAT_RAW, filters=[{"id": L.FILTER_LZMA2, "preset": 6}]))'
    ),
    "joined, hexadecimal": (
        f"from zlib import decompress as z\nparts = [{zlib.compress(PROGRAM.encode()).hex()[:40]!r}]\n"
        f"text = ''.join(parts) + {zlib.compress(PROGRAM.encode()).hex()[40:]!r}\n"
        "run = exec\nrun(z(bytes.fromhex(text)))"
    ),
    "reversed, in a lambda": (
        'm = __import__("b" + "z2"); q = __import__("base64")\n'
        f"t = {base64.b64encode(bz2.compress(PROGRAM.encode())).decode()[::-1]!r}\n"
        '(lambda s: exec(s, globals()))(getattr(m, "decom" + "press")(q.b64decode(t[::-1])))'
    ),
    "gzip": f"import gzip\nexec(gzip.decompress({gzip.compress(PROGRAM.encode())!r}))",
    "grown": f"s = {PROGRAM[:10]!r}\ns += {PROGRAM[10:]!r}\nexec(s)",
}


@pytest.mark.parametrize("name", STUBS)
def test_a_stub_is_unwrapped(name: str) -> None:
    assert layers(STUBS[name]) == [STUBS[name], PROGRAM]


COMPRESSORS = {
    "lzma": (lzma.compress, lzma.decompress),
    "zlib": (zlib.compress, zlib.decompress),
    "gzip": (gzip.compress, gzip.decompress),
    "bz2": (bz2.compress, bz2.decompress),
    "brotli": (brotli.compress, brotli.decompress),
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "whole": lambda data: data,
    "cut off": lambda data: data[:-1],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "another byte": lambda data: data[:12] + bytes([data[12] ^ 255]) + data[13:],
    "another first byte": lambda data: b"\xff" + data[1:],
    "followed by others": lambda data: data + b"xx",
    "twice": lambda data: data + data,
}


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_payload_is_unpacked_as_python_does_or_not_at_all(name: str, damage: str) -> None:
    compress, decompress = COMPRESSORS[name]
    payload = DAMAGES[damage](compress(PROGRAM.encode() * 3))
    stub = f"import {name}\nexec({name}.decompress({payload!r}))"
    try:
        inner = [decompress(payload).decode()]
    except Exception:
        inner = []
    assert layers(stub) == [stub, *inner]


def test_many_streams_are_not_unpacked() -> None:
    """Each copies the ones that follow: 280,000 empty ones would take minutes."""
    stub = f"import bz2\nexec(bz2.decompress({bz2.compress(b'')!r} * 280_000))"
    assert len(layers(stub)) == 1


@pytest.mark.parametrize("has_brotli", [True, False])
def test_our_own_programs_are_unwrapped(has_brotli: bool) -> None:
    content = self_extracting(PROGRAM * 50, has_brotli)
    assert layers(decode_source(content))[-1] == PROGRAM * 50


def test_nested_layers_are_unwrapped() -> None:
    inner = STUBS["lzma b85"]
    packed = base64.b64encode(zlib.compress(inner.encode()))
    outer = f"import zlib,base64\nexec(zlib.decompress(base64.b64decode({packed!r})))"
    assert layers(outer) == [outer, inner, PROGRAM]


def test_nothing_is_executed(tmp_path: Path) -> None:
    mark = tmp_path / "was_here"
    evil = f"open({str(mark)!r}, 'w')\n"
    text = f"import base64\nexec(base64.b64decode({base64.b64encode(evil.encode())!r}))\n{evil}"
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "train_gpt.py").write_text(text)
    found = read_code(folder, {})
    assert found["wrapped"] == ["train_gpt.py"]
    assert not mark.exists()


@pytest.mark.parametrize("compress", [lzma.compress, zlib.compress, bz2.compress, brotli.compress])
def test_a_bomb_is_refused(compress: object) -> None:
    name = {"lzma": "lzma", "zlib": "zlib", "bz2": "bz2"}.get(getattr(compress, "__module__", ""), "brotli")
    packed = compress(bytes(2 * MOST_BYTES))  # type: ignore[operator]
    with pytest.raises(TooLarge):
        layers(f"import {name},base64\nexec({name}.decompress(base64.b85decode({b85(packed)!r})))")


def test_a_product_that_is_too_large_is_refused() -> None:
    with pytest.raises(TooLarge):
        layers("exec('x' * 1_000_000_000_000)")


@pytest.mark.parametrize(
    "text",
    [
        "exec(open('other.txt').read())",
        "import base64\nexec(base64.b85decode(' '))",
        "import lzma\nexec(lzma.decompress(b'garbage'))",
        "s = s2\ns2 = s\nexec(s)",
    ],
)
def test_a_program_that_cannot_be_unwrapped_is_reported_as_opaque(text: str, tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text(text)
    found = read_code(tmp_path, {})
    assert found["opaque"] == ["train_gpt.py"]
    assert found["broken"] == {}
