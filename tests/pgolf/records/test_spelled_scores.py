"""Tables and JSON objects with scores in logs, against what a reader sees in them."""

from pathlib import Path

import pytest

from pgolf.records.logs import runs_in

PLAIN = """
| evaluation | val_loss | val_bpb |
|------------|---------:|--------:|
| baseline   |   2.0727 | 1.22440000 |
| roundtrip  |   1.9315 | 1.14393687 |
| **sliding** |  1.9000 | 1.12530001 |
"""
RICH = """
┏━━━━━━━━━━━━┳━━━━━━━━━━━━┓
┃ stage      ┃ bpb        ┃
┡━━━━━━━━━━━━╇━━━━━━━━━━━━┩
│ roundtrip  │ 1.14393687 │
│ sliding    │ 1.12530001 │
└────────────┴────────────┘
"""
TURNED = """
| metric | value |
|---|---|
| params | 26928220 |
| roundtrip_bpb | 1.14393687 |
| sliding_bpb | 1.12530001 |
"""


def scores_in(folder: Path, text: str) -> list[tuple[str, float, int]]:
    (folder / "train.log").write_text(f"model_params:26928220\n{text}")
    runs, _, _ = runs_in(folder / "train.log", folder)
    return [(score.label, score.val_bpb, score.line) for run in runs for score in run.scores]


@pytest.mark.parametrize(
    ("text", "labels", "line"),
    [
        (PLAIN, ["roundtrip", "sliding"], 6),
        (RICH, ["roundtrip", "sliding"], 6),
        (TURNED, ["roundtrip_bpb", "sliding_bpb"], 6),
    ],
)
def test_a_table_of_evaluations(tmp_path: Path, text: str, labels: list[str], line: int) -> None:
    assert scores_in(tmp_path, text) == [(labels[0], 1.14393687, line), (labels[1], 1.12530001, line + 1)]


@pytest.mark.parametrize("head", ["seed", "run", "step", "config"])
def test_a_table_of_several_runs_or_steps_gives_none(tmp_path: Path, head: str) -> None:
    assert scores_in(tmp_path, f"| {head} | val_bpb |\n|---|---|\n| 42 | 1.1234 |\n| ours | 1.1235 |\n") == []


def test_a_column_of_differences_gives_none(tmp_path: Path) -> None:
    assert scores_in(tmp_path, "| stage | delta bpb |\n|---|---|\n| sliding | 0.0123 |\n") == []


def test_a_table_of_settings_gives_none(tmp_path: Path) -> None:
    assert scores_in(tmp_path, "| name | layers |\n|---|---|\n| sliding | 1.0812 |\n") == []


@pytest.mark.parametrize(
    ("line", "label", "val_bpb"),
    [
        ('{"val_loss": 1.9, "val_bpb": 1.12530001}', "result", 1.12530001),
        ('RESULT {"val_bpb": 1.1253e+00, "bytes": 15900000}', "RESULT", 1.1253),
        ('{"stage": "sliding", "seed": 42, "val_loss": 1.9, "val_bpb": 1.12530001}', "sliding", 1.12530001),
    ],
)
def test_a_json_object_with_a_result(tmp_path: Path, line: str, label: str, val_bpb: float) -> None:
    assert scores_in(tmp_path, line) == [(label, val_bpb, 2)]


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 500, "val_loss": 1.9, "val_bpb": 1.1253}',
        '{"author": "someone", "val_bpb": 1.1253}',
        '{"seeds": [1, 2], "val_bpb": 1.1253}',
        '{"label": "baseline", "val_loss": 2.07, "val_bpb": 1.2244}',
        '{"val_bpb": null}',
    ],
)
def test_a_json_object_of_progress_or_claims_gives_none(tmp_path: Path, line: str) -> None:
    assert scores_in(tmp_path, line) == []
