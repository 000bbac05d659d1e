"""The audit of a submission folder: which files must be there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pgolf.audit.folder import audit_folder
from pgolf.audit.stand_ins import find_script
from pgolf.audit.verdicts import Verdict
from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")
CLAIMS = '{"val_bpb": 1.1, "track": "10min_16mb"}'
FILES = {"README.md": "# A submission\n", "submission.json": CLAIMS, "train_gpt.py": "x = 1\n"}


def files_verdict(folder: Path) -> Verdict:
    (found,) = [verdict for verdict in audit_folder(folder, RULES, is_code_read=False) if verdict.rule == "FILES"]
    return found


@pytest.mark.parametrize("missing", [None, *FILES])
def test_files_passes_only_where_every_file_exists(missing: str | None, tmp_path: Path) -> None:
    for name, content in FILES.items():
        if name != missing:
            (tmp_path / name).write_text(content)
    found = files_verdict(tmp_path)
    assert found.severity == ("pass" if missing is None else "warn")
    assert missing is None or missing in found.message


@pytest.mark.parametrize(
    ("name", "other", "severity"),
    [
        ("README.md", "readme.MD", "pass"),
        ("README.md", "README.txt", "pass"),
        ("README.md", "notes/README.md", "warn"),
        ("README.md", "REPORT.md", "warn"),
        ("submission.json", "metadata.json", "warn"),
        ("submission.json", "results/submission.json", "warn"),
        ("train_gpt.py", "train_gpt_v2.py", "warn"),
        ("train_gpt.py", "code/train_gpt.py", "warn"),
        ("train_gpt.py", "train_gpt.ipynb", "warn"),
        ("train_gpt.py", "train_gpt.py.xz", "warn"),
    ],
)
def test_a_file_of_another_name_is_found_and_named(name: str, other: str, severity: str, tmp_path: Path) -> None:
    for file, content in FILES.items():
        path = tmp_path / (other if file == name else file)
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    found = files_verdict(tmp_path)
    assert (found.severity, found.message) == (severity, f"{other} stands for {name}")


@pytest.mark.parametrize(
    ("names", "script"),
    [
        (["eval.py", "train_v2.py"], "train_v2.py"),
        (["a/train_gpt.py", "eval.py"], "a/train_gpt.py"),
        (["prepare.py", "train_gpt.py", "a/train_gpt.py"], "train_gpt.py"),
        (["lib/train_tools.py", "model.py"], "model.py"),
        (["kernel.cu", "run.sh"], None),
    ],
)
def test_of_several_scripts_the_one_most_like_train_gpt_stands_for_it(names: list[str], script: str | None) -> None:
    assert find_script(names) == script


def test_a_json_file_without_score_or_author_is_no_claims_file(tmp_path: Path) -> None:
    for name in ("README.md", "train_gpt.py"):
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / "config.json").write_text('{"num_layers": 9}')
    assert files_verdict(tmp_path).message == "missing: submission.json"


def link_outside(path: Path) -> None:
    outside = path.parent.parent / "outside"
    outside.write_text("x = 1\n")
    path.symlink_to(outside)


STAND_INS: list[tuple[Callable[[Path], object], str]] = [
    (Path.touch, "an empty file"),
    (Path.mkdir, "not a regular file"),
    (os.mkfifo, "not a regular file"),
    (link_outside, "a link out of the folder or to nothing"),
    (lambda path: path.symlink_to("nowhere"), "a link out of the folder or to nothing"),
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("make", "reason"), STAND_INS)
def test_what_has_only_the_name_of_a_file_is_missing(
    make: Callable[[Path], object], reason: str, name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for other, content in FILES.items():
        if other != name:
            (folder / other).write_text(content)
    make(folder / name)
    found = files_verdict(folder)
    assert found.severity == ("warn" if name == "submission.json" else "fail")
    assert f"{name} ({reason})" in found.message
    codes = [v for v in audit_folder(folder, RULES, is_code_read=False) if v.rule == "SIZE-CODE-IS-SHIPPED-CODE"]
    assert "pass" not in {verdict.severity for verdict in codes}
