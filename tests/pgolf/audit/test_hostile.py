"""Hostile folders: auditing one executes nothing, reads nothing outside it, does not hang and ends in no traceback."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pgolf.audit.folder import audit_folder
from pgolf.audit.isolation import read_code_isolated
from pgolf.records import containers
from pgolf.records.groups import record_groups
from pgolf.rulesets.ruleset import load_ruleset
from tests.conftest import Ended

RULES = load_ruleset("parameter_golf")
LOG = "seed: 1\nfinal val_loss:1.50000000 val_bpb:1.10000000\n"


def of_files(**files: str | bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name, content in files.items():
            path = folder / name.replace("__", ".")
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def pipes(folder: Path) -> None:
    for name in ("submission.json", "README.md", "train.log", "train_gpt.py"):
        os.mkfifo(folder / name)


def links(folder: Path) -> None:
    (folder / "train.log").symlink_to("/etc/passwd")
    (folder / "train_gpt.py").symlink_to("/etc/passwd")
    (folder / "root").symlink_to("/")
    (folder / "again").symlink_to(".")
    (folder / "submission.json").write_text("{}")


def gzip_bomb(folder: Path) -> None:
    with gzip.open(folder / "train.log.gz", "wb") as file:
        for _ in range(80):
            file.write(bytes(1_000_000))


FOLDERS: dict[str, Callable[[Path], None]] = {
    "pipes": pipes,
    "links": links,
    "gzip bomb": gzip_bomb,
    "deep list": of_files(submission__json="[" * 100_000 + "]" * 100_000),
    "deep object": of_files(submission__json='{"a":' * 50_000 + "1" + "}" * 50_000),
    "endless number": of_files(submission__json='{"val_bpb": ' + "9" * 50_000 + "}", train__log=LOG),
    "no numbers": of_files(
        submission__json='{"val_bpb": NaN, "seeds": [1e400, null, {}], "bytes_total": Infinity, "hardware": []}',
        train__log=LOG,
    ),
    "not text": of_files(submission__json=b"\xff\xfe\x00", train__log=bytes(range(256)) * 100, train_gpt__py=b"\0\0"),
    "no encoding": of_files(train_gpt__py=b"# coding: nonsense\nprint(1)", train__log=LOG),
    "deep code": of_files(train_gpt__py="x = " + "(" * 5_000 + ")" * 5_000),
    "long code": of_files(train_gpt__py="x = a" + ".b" * 100_000),
    "signs": of_files(train_gpt__py="x = " + "-" * 200_000 + "1"),
    "many names": of_files(
        train_gpt__py="a0 = ['x']\n" + "\n".join(f"a{i} = [a{i - 1}, a{i - 1}]" for i in range(1, 60)) + "\nexec(a59)"
    ),
    "spaces": of_files(train__log="\n".join([" " * 1_990] * 500)),
    "almost a score": of_files(train__log="\n".join(["val_loss: " * 190] * 500)),
    "many runs": of_files(train__log="\n".join(f"Hyperparameters:\nseed: {i}\n{LOG}" for i in range(3_000))),
    "many scores": of_files(train__log=LOG * 4_000),
    "wide table": of_files(README__md=("| " + " " * 5_000 + "1 ") * 200, submission__json="{}"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_hostile_folder_ends_in_verdicts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_BYTES", 8_000_000)
    folder = tmp_path / "folder"
    folder.mkdir()
    FOLDERS[name](folder)
    verdicts = audit_folder(folder, RULES)
    assert verdicts
    json.dumps([verdict.as_json() for verdict in verdicts], allow_nan=False)
    for group in record_groups(folder, RULES):
        json.dumps(group.as_json(), allow_nan=False)
    assert not any("root:" in verdict.message for verdict in verdicts)
    assert sorted(tmp_path.iterdir()) == [folder]


def test_terminal_escapes_are_removed(pgolf: Callable[..., Ended], tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x1b[31m"
    folder = tmp_path / f"rec{evil}ord"
    folder.mkdir()
    (folder / "train_seed1.log").write_text(f"{evil}seed: 1\n{evil}final{evil} val_loss:1.5 val_bpb:1.1{evil}\n")
    (folder / "submission.json").write_text(json.dumps({"name": evil, "val_bpb": 1.1, "track": evil, "hardware": evil}))
    (folder / "train_gpt.py").write_text(f"import {'x' * 10}\nname = '{evil}'\n")
    for command in (["audit", str(folder)], ["report", str(folder), "--explain"], ["report", "--leaderboard", "."]):
        ended = pgolf(*command)
        assert "\x1b" not in ended.out + ended.err
        assert "\x07" not in ended.out + ended.err


def test_code_is_not_executed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    act = f"open({str(mark)!r}, 'w').close()\n"
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (
        "train_gpt.py",
        "conftest.py",
        "sitecustomize.py",
        "ast.py",
        "json.py",
        "pgolf.py",
        "pgolf_adapter.py",
    ):
        (folder / name).write_text(act)
    found = read_code_isolated(folder, {})
    assert isinstance(found, dict)
    assert len(found["files"]) == 7
    audit_folder(folder, RULES)
    assert not mark.exists()


def test_code_that_takes_too_long_to_read_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgolf.audit import isolation

    monkeypatch.setattr(isolation, "MAX_READING_SECONDS", 0.01)
    (tmp_path / "train_gpt.py").write_text("x = 1\n")
    (found,) = [verdict for verdict in audit_folder(tmp_path, RULES) if verdict.rule == "RUNS-IN-FOLDER"]
    assert found.severity == "unknown"
    assert "longer than" in found.message


def test_code_that_unpacks_to_too_many_bytes_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text("exec('x' * 1_000_000_000_000)")
    verdicts = audit_folder(tmp_path, RULES)
    (found,) = [verdict for verdict in verdicts if verdict.rule == "SELF-CONTAINED"]
    assert found.severity == "unknown"
    assert "was not read" in found.message
    assert all(verdict.basis != "code" for verdict in verdicts if verdict.severity == "pass")
