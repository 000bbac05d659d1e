"""Sizes that a log prints in MB: judged by what they can mean."""

from pathlib import Path

import pytest

from pgolf.audit.folder import audit_folder
from pgolf.records.groups import record_groups
from pgolf.report.tables import verdict_of
from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")


@pytest.mark.parametrize(
    ("printed", "rule", "verdict", "audited"),
    [
        ("14.91 MB", None, "all fit", "pass"),  # 15,639,511 bytes if MB is 2^20
        ("15.90 MB", "rounded_size", "SIZE UNKNOWN", "unknown"),  # 16,677,601 if so
        ("16.00 MB", "rounded_size", "SIZE UNKNOWN", "unknown"),  # 15,995,000 or more
        ("16.10 MB", "over_cap", "OVER THE LIMIT", "fail"),
    ],
)
def test_a_rounded_size_fails_only_if_it_must_be_over_the_limit(
    tmp_path: Path, printed: str, rule: str | None, verdict: str, audited: str
) -> None:
    (tmp_path / "train.log").write_text(
        f"seed:1\nTotal submission size: {printed}\nfinal_int8_roundtrip_exact val_loss:2.0 val_bpb:1.20000000\n"
    )
    (group,) = record_groups(tmp_path, RULES)
    named = {found.rule for found in group.rows[0].problems()} & {"rounded_size", "over_cap"}
    assert named == ({rule} if rule else set())
    assert verdict_of(group) == verdict
    (found,) = [each for each in audit_folder(tmp_path, RULES, is_code_read=False) if each.rule == "SIZE-CAP"]
    assert found.severity == audited
