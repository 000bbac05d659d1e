"""Pages that can be followed are followed: files written, commands run, and what they say held against the page."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from pgolf.cli.commands import COMMANDS
from tests.conftest import run_here
from tests.scripts.workshop import Workshop

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_from_your_script_to_pgolf_is_followed_to_the_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # the page's lines are not broken
    workshop = Workshop(tmp_path / "own")
    shutil.move(workshop.folder / "baseline_dialect.py", workshop.folder / "train_gpt.py")
    said = ""
    for kind, text in BLOCK.findall((DOCS / "from_your_script.md").read_text()):
        match kind:
            case "yaml":
                spec = text.replace("/data/text", str(workshop.folder / "data"))
                name, *_ = text.splitlines()
                (workshop.folder / name.removeprefix("# ")).write_text(spec)
            case "sh":
                said = "".join(followed(workshop.folder, line) for line in text.splitlines())
            case "text":
                for line in text.splitlines():
                    assert_said(line, said)
            case "console":
                for line in text.splitlines():
                    assert shlex.split(line)[1] in COMMANDS, line


def followed(folder: Path, line: str) -> str:
    """Return what a command of the page prints on both streams; its exit code must be the one on the page, else 0."""
    command, _, comment = line.partition("    # ")
    expected = int(comment.removeprefix("exit code ")) if comment.startswith("exit code") else 0
    name, *arguments = shlex.split(command)
    ended = run_here(folder, *arguments)
    assert name == "pgolf"
    assert ended.code == expected, (line, ended.err)
    return ended.out + ended.err


def assert_said(line: str, said: str) -> None:
    """Check that all pieces of a line, between its dots, stand in one line of what was said, in order."""
    pieces = [re.escape(" ".join(piece.split())) for piece in line.split("...")]
    pattern = ".*?".join(pieces)
    lines = [" ".join(each.split()) for each in said.splitlines()]
    assert any(re.search(pattern, each) for each in lines), (line, said[-3000:])
