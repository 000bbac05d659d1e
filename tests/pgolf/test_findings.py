"""A pass has nothing to fix, whoever reports it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pgolf.audit.verdicts import Verdict
from pgolf.cli.display.console import findings_table
from pgolf.findings import Finding, Severity
from tests.scripts.workshop import Workshop


@pytest.mark.parametrize(
    ("severity", "fix"), [("pass", None), ("warn", "do it"), ("fail", "do it"), ("unknown", "do it")]
)
def test_only_a_pass_has_no_fix(severity: Severity, fix: str | None) -> None:
    found = Finding(severity, "SIZE-CAP", "what was found", "do it")
    assert found.as_json()["fix"] == fix
    assert Verdict(severity, "SIZE-CAP", "what was found", "do it").as_json()["fix"] == fix
    console = Console(file=io.StringIO(), width=80)
    console.print(findings_table([found]))
    assert isinstance(console.file, io.StringIO)
    assert ("fix: do it" in console.file.getvalue()) == (fix is not None)


def test_a_script_that_finds_its_own_data_is_told_to_fix_nothing(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "own")
    checks = {check["rule"]: check for check in workshop("preflight", "spec.yaml", "--json").json["checks"]}
    assert (checks["script_data"]["status"], checks["script_data"]["fix"]) == ("pass", None)
    assert not any(check["fix"] for check in checks.values() if check["status"] == "pass")
