"""Texts that would take gigabytes or minutes are refused by import, preflight and audit, in less than 300 MB."""

import ast
import base64
import bz2
import json
import lzma
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli
import pytest

from pgolf.audit.code import source
from pgolf.scripts.constants import name_pattern
from pgolf.scripts.settings import parse_literal
from pgolf.scripts.source import MOST_TOKENS, TooLarge, count_tokens, decode_source, parse_source, read_source
from pgolf.scripts.unwrapping import layers, runs_unknown

MOST_MEGABYTES = 300


def packed(module: str, compress: Callable[[bytes], bytes], content: bytes) -> str:
    text = base64.b85encode(compress(content)).decode()
    return f"import {module}, base64\nexec({module}.decompress(base64.b85decode({text!r})))"


LONG = "a = 'x' * 50_000\n"
TOO_LARGE = {
    "replace": f"{LONG}exec(a.replace('', 'b' * 50_000))",
    "replace in bytes": "exec((b'x' * 50_000).replace(b'x', b'y' * 50_000))",
    "join": f"{LONG}exec(a.join(['b', 'c'] * 20_000))",
    "join the characters of a text": f"{LONG}exec(a.join(a))",
    "text times number": "exec('x' * 1_000_000_000)",
    "number times text": "exec(1_000_000_000 * 'x')",
    "list times number": "exec(''.join(['x' * 10_000] * 100_000))",
    "list of long texts": f"{LONG}exec(''.join([{'a, ' * 3_000}]))",
    "sum": LONG + "a = a + a\n" * 20 + "exec(a)",
    "translate": f"{LONG}exec(a.translate({{120: 'b' * 50_000}}))",
    "split": "exec(''.join(('a,' * 500_000).split(',')))",
    "split at spaces": "exec(''.join(('a ' * 500_000).split()))",
    "wide characters": "exec('\\U0001F600' * 3_000_000)",
    "square": "a = 9\n" + "a = a * a\n" * 20 + "exec('x' * a)",
    "long integer": f"__import__(0x{'f' * 100_000})",
    "zlib": packed("zlib", zlib.compress, bytes(30_000_000)),
    "bz2": packed("bz2", bz2.compress, bytes(30_000_000)),
    "lzma": packed("lzma", lzma.compress, bytes(30_000_000)),
    "brotli": packed("brotli", brotli.compress, bytes(30_000_000)),
    "zeros in base 85": "import base64\nexec(base64.a85decode('z' * 3_900_000))",
    "lzma window": (
        "import lzma\nexec(lzma.decompress(b'', format=lzma.FORMAT_RAW, filters=[{'id': 33, 'dict_size': 1000000000}]))"
    ),
    "many long values": f"import base64\n{LONG}" + "exec(base64.b64decode(a * 70 + '!', validate=True))\n" * 100,
    "packed tokens": packed("zlib", zlib.compress, b"x = [" + b"1," * 1_000_000 + b"]"),
    "tokens": "a()\n" * 300_000,
    "tokens in an f-string": f"x = f'{{[{'1,' * 1_000_000}]}}'",
    "tokens after an f-string": "x = [f\"{x:'}\"," + "1," * 1_000_000 + "]",
    "parentheses": f"x = {'(' * 5_000}1{')' * 5_000}",
    "sum of names": f"x = {' + '.join(['a'] * 900)}",
    "attributes": f"x = a{'.b' * 900}",
    "elif": "if a: pass\n" + "elif a: pass\n" * 900,
    "one line": f"x = {'a+' * 2_000_000}a\n",
    "long file": f"x = '{'a' * 5_000_000}'\n",
}  # fmt: skip
NOT_PYTHON = {
    "nested f-strings": "x = " + "f'{" * 1_000,
    "null byte": "x = 1\0\n",
    "unknown encoding": "# coding: nonsense\n",
    "binary encoding": "# coding: zlib_codec\n",
    "slow encoding": "# coding: punycode\n" + "x = 1\n" * 1_000 + "-abc",
    "escapes as encoding": "# coding: unicode_escape\n",
}
NOT_COMPUTED = {
    "format": "exec('{:>3000000000}'.format('a'))",
    "percent": "exec('%3000000000s' % 'a')",
    "f-string": "exec(f'{1:>3000000000}')",
    "ljust": "exec('a'.ljust(3_000_000_000))",
    "expandtabs": "exec(('\\t' * 1_000_000).expandtabs(4_000))",
    "bytes": "exec(bytes(3_000_000_000))",
    "bytearray": "exec(bytearray(3_000_000_000))",
    "range": "exec(''.join(map(chr, list(range(10 ** 9)))))",
    "power": "exec(str(9 ** 9 ** 9))",
    "shift": "exec(str(1 << (1 << 40)))",
    "slow codec": "exec(('a' * 50_000).encode('punycode'))",
    "slow strip": "exec(('a' * 50_000).strip('b' * 50_000))",
    "names in names": "a0 = ['x']\n" + "".join(f"a{i} = [a{i - 1}, a{i - 1}]\n" for i in range(1, 60)) + "exec(a59)",
}
CHILD = """
import json, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
from pgolf.audit.code.reading import read_code
from pgolf.drafting.features import named_features
from pgolf.drafting.source import read_script
from pgolf.scripts.program import neighbours, read_program

def imported(script):
    named_features(read_script(script))

def preflight(script):
    neighbours(script)
    program = read_program(script, [])
    program.reads, program.parsing, program.cuda, program.libraries

def answer(read, script):
    try:
        return read(script)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

found = {}
for script in sorted(Path(sys.argv[1]).glob("*/train_gpt.py")):
    audit = answer(lambda script: read_code(script.parent, {}), script)
    found[script.parent.name] = [answer(imported, script), answer(preflight, script), audit]
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
json.dump({"found": found, "megabytes": int(peak.split()[1]) / 1000}, sys.stdout)
"""


def read_in_a_child(folder: Path, texts: dict[str, str]) -> dict[str, list[Any]]:
    """Return what import, preflight and audit say of each text, read in a process with limits."""
    for name, text in texts.items():
        (folder / name).mkdir()
        (folder / name / "train_gpt.py").write_text(text)
    command = [sys.executable, "-c", CHILD, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2_000:]
    answer = json.loads(ended.stdout)
    assert answer["megabytes"] < MOST_MEGABYTES
    assert sorted(answer["found"]) == sorted(texts)
    found: dict[str, list[Any]] = answer["found"]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_bombs_are_refused_in_little_memory(tmp_path: Path) -> None:
    found = read_in_a_child(tmp_path, TOO_LARGE | NOT_PYTHON | NOT_COMPUTED)
    for name in (*TOO_LARGE, *NOT_PYTHON):
        imported, preflight, _ = found[name]
        assert (str(imported)[:10], str(preflight)[:10]) == ("SpecError:", "Unreadable"), name
    for name in TOO_LARGE:
        audit = found[name][2]
        assert list(audit["too_large"]) == ["train_gpt.py"], (name, audit)
        assert re.search(r"\d", audit["too_large"]["train_gpt.py"]), name
    for name in NOT_PYTHON:
        assert list(found[name][2]["broken"]) == ["train_gpt.py"], name
    for name in NOT_COMPUTED:
        imported, preflight, audit = found[name]
        assert (imported, preflight, audit["opaque"]) == (None, None, ["train_gpt.py"]), name


def test_the_program_is_read_before_other_files_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_TOTAL_TOKENS", 30)
    for name in ("a.py", "train_gpt.py"):
        (tmp_path / name).write_text("x = 1\n" * 5)
    found = source.read_sources(tmp_path)
    assert [file.name for file in found.files] == ["train_gpt.py"]
    assert list(found.too_large) == ["a.py"]


def test_a_refusal_says_what_is_too_large_and_where() -> None:
    with pytest.raises(TooLarge) as caught:
        layers("x = 1\nexec(('a' * 9).replace('a', 'b' * 3_000_000))")
    message = "the result of `replace` would have 27,000,000 bytes; at most 4,000,000 are unpacked"
    assert (caught.value.line, caught.value.problem) == (2, message)


@pytest.mark.parametrize(
    "before",
    [
        "x = [f\"{x:'}\",", "x = [f\"{{'}}\",", 'f"{x:{{', "f'''{a''',", 'f"\\{1},\'",', 'f"""{a:"}""",', "x = '''",
        'f"{[', "rf'\\{1}',", 'f"{a:{b}\'}",', "x = [b'\\'',", "x = [", "'", "\"\"\"\\\"\"\"\"",
    ],
)  # fmt: skip
def test_no_text_hides_tokens_from_their_count(before: str) -> None:
    """Either Python finds no program there, or at least as many tokens are counted as there are numbers."""
    for after in ("]", "'}", ']}"', ']"', ""):
        text = before + "1," * 50 + after
        try:
            tree = parse_source(text)
        except SyntaxError:
            continue
        numbers = sum(type(getattr(node, "value", None)) is int for node in ast.walk(tree))
        assert count_tokens(text) >= numbers


@pytest.mark.parametrize(
    "text", ['"' * 400_000, "f'" * 200_000, "\\" * 400_000, '"""' + '\\"""' * 100_000, "f'{" * 99_999]
)
def test_tokens_are_counted_in_linear_time(text: str) -> None:
    assert count_tokens(text) <= MOST_TOKENS + 1


def test_a_chain_of_aliases_is_followed_once() -> None:
    """Followed anew at each call, the steps were used up before the last line."""
    chain = "getattr(" * 60 + "x" + ", 'a')" * 60
    aliases = "".join(f"a{number} = getattr(a{number - 1}, 'b')\n" for number in range(1, 19))
    text = f"a0 = {chain}\n{aliases}" + "a18(1)\n" * 15_000 + "exec(a18('x'))"
    assert runs_unknown(parse_source(text))


def test_composed_names_of_variables_are_matched_in_linear_time() -> None:
    composed = ast.parse("f'" + "{a}" * 300 + "Z'", mode="eval").body
    assert name_pattern(composed) == ".*Z"
    assert name_pattern(ast.parse(f"{'x' * 10_000!r} + a", mode="eval").body) == ".*"


def test_a_text_that_is_too_long_for_a_setting_is_not_parsed() -> None:
    assert parse_literal("1," * 500) == (1,) * 500
    assert parse_literal("1," * 501) == "1," * 501


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "zero.py").symlink_to("/dev/zero")
    (tmp_path / "folder.py").mkdir()
    for name in ("pipe.py", "zero.py", "folder.py"):
        with pytest.raises(OSError, match="not a regular file"):
            read_source(tmp_path / name)


@pytest.mark.parametrize(
    ("cookie", "text"), [("latin-1", "ü"), ("cp1252", "€"), ("utf-8", "漢"), ("gb18030", "漢"), ("koi8-r", "Я")]
)
def test_encodings_of_programs_are_read(cookie: str, text: str) -> None:
    source = f"# coding: {cookie}\nx = '{text}'\n"
    assert decode_source(source.encode(cookie)) == source
