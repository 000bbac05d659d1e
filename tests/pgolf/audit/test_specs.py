"""The audit of a spec: preflight's findings as verdicts."""

from types import SimpleNamespace
from typing import Any

import pytest

from pgolf.audit.specs import verdict_of
from pgolf.findings import Finding


def preflight(*, evaluate_seconds: float | None = 5.0, is_lossless: bool | None = True) -> Any:
    manifest = SimpleNamespace(tokenizer=SimpleNamespace(lossless=is_lossless))
    duration = SimpleNamespace(evaluate_seconds=evaluate_seconds)
    return SimpleNamespace(duration=duration, located=SimpleNamespace(manifest=manifest))


@pytest.mark.parametrize(
    ("rule", "found", "severity"),
    [
        ("evaluation_clock", preflight(), "pass"),
        ("evaluation_clock", preflight(evaluate_seconds=None), "unknown"),
        ("lossless_tokenizer", preflight(), "pass"),
        ("lossless_tokenizer", preflight(is_lossless=None), "unknown"),
        ("artifact_size", preflight(evaluate_seconds=None, is_lossless=None), "pass"),
    ],
)
def test_what_preflight_could_not_judge_is_unknown(rule: str, found: Any, severity: str) -> None:
    assert verdict_of(Finding("pass", rule, "any text"), found).severity == severity
