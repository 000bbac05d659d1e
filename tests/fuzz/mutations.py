"""Damage: what a file may have become by accident or by somebody's will, chosen by a seeded generator."""

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

WILD: list[Any] = [
    None, True, False, 0, -1, 1, 7, 2**31, 2**63, 10**30, -(2**53), 0.0, -0.5, 1e-300, 1e308, -1e308, float("nan"),
    float("inf"), "", "x", "1e3", "nan", "\x00", "\x1b[31m", "[red]", "\ud800", "</script><script>alert(1)</script>",
    "../..", "/dev/zero", "é" * 300, [], {}, [1, 2, 3], [None] * 5, {"": ""}, {"kind": "nothing"},
    [[[[[[[[[[0]]]]]]]]]],
]  # fmt: skip
DEEP = "[" * 3000 + "]" * 3000
NOT_SO_DEEP = "[" * 300 + "]" * 300
# What takes long, or much memory, unless it is refused where it begins: the last key comes twice.
MANY_KEYS = ", ".join(f'"k{min(number, 59_998)}": 0' for number in range(60_000))
BLANK_LINES = 3_000_000


def damage(path: Path, chance: random.Random) -> str:
    """Damage a file, and return how."""
    how = chance.choices(["content", "bytes", "kind"], [6, 3, 1])[0]
    if how == "content" and path.suffix in (".json", ".jsonl") and path.is_file():
        return damage_json(path, chance)
    return damage_kind(path, chance) if how == "kind" else damage_bytes(path, chance)


def damage_json(path: Path, chance: random.Random) -> str:
    """Replace, remove or repeat a value in a JSON file, or in one line of several."""
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    number = chance.randrange(len(lines)) if lines else 0
    try:
        document = json.loads(lines[number])
    except (ValueError, IndexError):
        return damage_bytes(path, chance)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        document = damage_value(document, chance)
    text = json.dumps(document, indent=None if path.suffix == ".jsonl" else 1)
    deep = chance.choice([DEEP, NOT_SO_DEEP, "NaN", "9" * 5000])
    text = text.replace('"DEEP"', deep)
    if chance.random() < 0.05 and text.startswith("{"):
        text = text[:-1].rstrip() + ", " + text[1:]  # every key twice
    elif chance.random() < 0.02 and text.startswith("{"):
        text = text[:-1].rstrip() + ", " + MANY_KEYS + "}"
    lines[number] = "\n" * BLANK_LINES if path.suffix == ".jsonl" and chance.random() < 0.05 else text
    path.write_text("\n".join(lines) + "\n", errors="surrogatepass")
    return "content"


def damage_value(document: Any, chance: random.Random) -> Any:
    """Return a document with a change at a random place."""
    if isinstance(document, dict | list) and document and chance.random() < 0.85:
        key = chance.choice(list(document)) if isinstance(document, dict) else chance.randrange(len(document))
        if chance.random() < 0.2:
            del document[key]
        else:
            document[key] = damage_value(document[key], chance)
        return document
    return "DEEP" if chance.random() < 0.05 else deepcopy(chance.choice(WILD))


def damage_bytes(path: Path, chance: random.Random) -> str:
    """Flip, cut, repeat or insert bytes."""
    content = bytearray(path.read_bytes() if path.is_file() else b"")
    place = chance.randrange(len(content) + 1)
    match chance.randrange(6):
        case 0:
            del content[place:]
        case 1:
            content = bytearray()
        case 2:
            content[place:place] = chance.randbytes(chance.choice([1, 8, 200]))
        case 3:
            content[place : place + chance.choice([1, 16, 500])] = b""
        case 4:
            content += content[place : place + 1000]
        case _:
            for _ in range(chance.choice([1, 3, 30])):
                if content:
                    content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content)
    return "bytes"


def damage_kind(path: Path, chance: random.Random) -> str:
    """Replace a file by something that is no regular file, or by one without end."""
    path.unlink(missing_ok=True)
    kinds: list[Callable[[Path], object]] = [
        os.mkfifo,
        Path.mkdir,
        listen,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("/dev/null"),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(path.name),
        sparse,
    ]
    if make := chance.choice([*kinds, None]):  # None: the file is missing
        make(path)
    return "kind"


def listen(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # an address has at most 107 bytes


def sparse(path: Path) -> None:
    """Make a file of a terabyte that takes no room."""
    with path.open("wb") as file:
        file.truncate(2**40)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder over what damage has left of its copy."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
