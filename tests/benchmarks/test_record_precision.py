"""The precision of audit and report: how namings are counted, and that each failure of an audit is true."""

import json
from pathlib import Path

import pytest
import yaml

from benchmarks.record_precision import LABELS, Count, count_namings
from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")
SHARED = Path(__file__).parents[3] / "shared"


def test_namings_are_counted_by_their_labels(tmp_path: Path) -> None:
    for name, track in (("a", "10min_16mb"), ("b", "non-record")):
        (tmp_path / "records" / name).mkdir(parents=True)
        claims = json.dumps({"track": track, "val_bpb": 1.1, "bytes_total": 17_000_000})
        (tmp_path / "records" / name / "submission.json").write_text(claims)
    true = {"audit": {"SIZE-CAP": ["records/a"], "TRAIN-600": ["records/b"]}, "report": {}}
    untrue = {"audit": {"FILES": {"records/a": "why"}}, "report": {}}
    counts = count_namings(tmp_path, true, untrue, RULES)
    assert counts["audit", "SIZE-CAP"] == Count(fails=2, true_fails=1, unlabelled=["records/b"])
    assert counts["audit", "FILES"] == Count(warnings=2, causes=["why"], unlabelled=["records/b"])
    assert counts["audit", "TRAIN-600"] == Count(missed=["records/b"])


@pytest.mark.slow
def test_every_failure_of_an_audit_on_the_development_folders_is_true() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"shared development folders are not at {SHARED}")
    labels = yaml.safe_load(LABELS.read_text(encoding="utf-8"))
    counts = count_namings(SHARED, labels["true"], labels["untrue"], RULES)
    failed = {rule: count for (source, rule), count in counts.items() if source == "audit" and count.fails}
    assert failed and {rule for rule, count in failed.items() if count.fails > count.true_fails} == set()
