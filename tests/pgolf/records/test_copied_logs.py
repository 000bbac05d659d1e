"""Submissions whose logs are copies of one log."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgolf.records.folder import is_record
from pgolf.records.groups import record_groups
from pgolf.records.rows import RecordGroup
from pgolf.report.compare import compare_groups
from pgolf.report.leaderboard import ranked
from pgolf.report.significance import assess_all
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.records.conftest import RECORDS, build_record

RULES = load_ruleset("parameter_golf")
CLEAN, BASELINE = "1529-improved-parresid", "1514-muon097-ngram-tilt"


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Path]:
    """Yield a submission folder with three logs that differ only in the line of the seed."""
    if not RECORDS.is_dir():
        pytest.skip(f"shared development records are not at {RECORDS}")
    folder = build_record(RECORDS / CLEAN, tmp_path / "copies")
    text = (folder / "train_seed1337.log").read_text()
    for seed in (42, 2024):
        (folder / f"train_seed{seed}.log").write_text(text.replace("seed: 1337", f"seed: {seed}"))
    yield folder


def group_of(folder: Path) -> RecordGroup:
    return record_groups(folder, RULES)[0]


def test_copied_logs_are_no_three_seeds(copies: Path, public_record: Callable[[str], Path]) -> None:
    group, baseline = group_of(copies), group_of(public_record(BASELINE))
    assert len(group.rows) == 3, "each copy is still shown"
    (message,) = [f.message for f in group.problems() if (f.severity, f.rule) == ("fail", "seeds_alike")]
    assert re.match(r"train_seed1337.log, train_seed2024.log and train_seed42.log are one run", message)
    facts = group.as_json()
    assert (facts["std"], facts["population_std"], facts["ci95"]) == (None, None, None)
    skipped: list[str] = []
    assert assess_all([group], baseline, RULES.significance, skipped.append) == [None]
    assert assess_all([baseline], group, RULES.significance, skipped.append) == [None]
    assert all("are one run" in message for message in skipped)
    found = compare_groups(group, baseline)
    assert (found["val_bpb"]["ci95"], found["shared_seeds"]) == (None, None)
    assert {stage["ci95"] for stage in found["stages"]} == {None}
    (entry,) = ranked(copies.parent, RULES)
    assert "seeds_alike" in entry.rules


def test_copied_logs_with_another_digit_in_each_score_are_no_three_seeds(copies: Path) -> None:
    for number, path in enumerate(sorted(copies.glob("train_seed*.log"))):
        path.write_text(re.sub(r"(val_bpb:\d\.\d{7})\d", rf"\g<1>{number}", path.read_text()))
    group = group_of(copies)
    assert len({row.val_bpb for row in group.rows}) == 3
    (message,) = [f.message for f in group.problems() if (f.severity, f.rule) == ("fail", "seeds_alike")]
    assert "are one run, equal in their training losses" in message


def test_no_public_record_has_alike_seeds() -> None:
    folders = [path for path in sorted(RECORDS.iterdir()) if is_record(path)] if RECORDS.is_dir() else []
    accused = [
        (folder.name, finding.message)
        for folder in folders
        for group in record_groups(folder, RULES)
        for finding in group.problems()
        if finding.rule in ("seeds_alike", "scores_equal")
    ]
    assert accused == []
