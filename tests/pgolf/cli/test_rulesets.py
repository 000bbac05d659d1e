"""One run under rules of the user's own, from preflight to report and audit."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import Pgolf

RULES: dict[str, Any] = {
    "name": "short",
    "version": 1,
    "limits": {"parameters": 40_000, "train_tokens": 100_000, "target": {"val_loss": 6.5, "steps": 20}},
    "fixed": {"batch_tokens": 256},
}
OWN_RULES = {"PARAMETERS-CAP", "TRAIN-TOKENS-CAP", "STEPS-CAP", "FIXED-PARTS", "TARGET-LOSS"}


def write_rules(folder: Path, **limits: Any) -> None:
    document = RULES | {"limits": RULES["limits"] | limits}
    (folder / "short.yaml").write_text(yaml.safe_dump(document))


def audited(pgolf: Pgolf, *arguments: str) -> tuple[str, dict[str, str]]:
    answer = json.loads(pgolf("audit", *arguments, "--metadata-only", "--json").out)
    return answer["ruleset"], {each["rule"]: each["status"] for each in answer["findings"]}


def test_own_limits_hold_from_preflight_to_audit(pgolf: Pgolf, tmp_path: Path) -> None:
    write_rules(tmp_path, parameters=30_000)
    micro = ("quickstart", "--with", "micro", "--set", "ruleset=short.yaml")
    refused = pgolf("preflight", *micro)
    assert refused.code == 3
    assert "31,012 parameters; the limit is 30,000" in " ".join(refused.out.split())
    write_rules(tmp_path)
    assert pgolf("run", *micro).code == 0
    (run,) = (tmp_path / "runs").glob("*/seed-1337")
    artifact = json.loads((run / "result.json").read_text())["artifact"]
    assert artifact["limit_bytes"] is None

    group = json.loads(pgolf("report", "--json").out)["groups"][0]
    assert (group["target"]["status"], group["limit_bytes"], group["over_limit"]) == ("pass", None, False)
    assert "target reached: mean val_loss" in pgolf("report").out
    ruleset, found = audited(pgolf, str(run))
    assert (ruleset, {found[rule] for rule in OWN_RULES}) == ("short-1", {"pass"})

    # What counts is what held when the run began; the file may be changed or deleted afterwards.
    write_rules(tmp_path, parameters=30_000, target={"val_loss": 0.5})
    assert audited(pgolf, str(run))[1] == found
    ruleset, changed = audited(pgolf, str(run), "--ruleset", "short.yaml")
    assert (changed["PARAMETERS-CAP"], changed["TARGET-LOSS"]) == ("fail", "warn")
    (tmp_path / "short.yaml").unlink()
    assert audited(pgolf, str(run)) == ("short-1", found)


def test_a_run_that_misses_its_limits_is_reported(pgolf: Pgolf, tmp_path: Path) -> None:
    write_rules(tmp_path)
    assert pgolf("run", "quickstart", "--with", "micro", "--set", "ruleset=short.yaml").code == 0
    (run,) = (tmp_path / "runs").glob("*/seed-1337")
    document = json.loads((run / "run.json").read_text())
    document["rules"]["limits"] |= {"parameters": 31_011, "target": {"val_loss": 0.5, "margin": 0.004}}
    (run / "run.json").write_text(json.dumps(document))
    report = " ".join(pgolf("report").out.split())
    assert "31,012 parameters; the limit is 31,011" in report
    assert "fail target_loss: mean val_loss" in report and "must be at least 0.004" in report
    document["rules"]["limits"]["parameters"] = "many"
    (run / "run.json").write_text(json.dumps(document))
    damaged = pgolf("report")
    assert "damaged_run" in damaged.out and "rules.limits.parameters" in " ".join(damaged.out.split())


def test_seconds_and_mixed_rules_are_reported(pgolf: Pgolf, tmp_path: Path) -> None:
    """No machine is asked for, so that the seconds of this one count."""
    write_rules(tmp_path, train_seconds=9000)
    command = ("seeds", "quickstart", "--n", "2", "--with", "micro", "--set", "ruleset=short.yaml")
    assert pgolf(*command).code == 0
    first, second = sorted((tmp_path / "runs").glob("*/seed-*"))
    assert "over_time" not in pgolf("report").out
    for run in (first, second):
        result = json.loads((run / "result.json").read_text())
        result["clock"]["train_seconds"] = 9002.0
        (run / "result.json").write_text(json.dumps(result))
    report = pgolf("report").out
    assert "took 9002.0 s; the limit is 9000 s" in " ".join(report.split()) and "OVER TIME" in report
    document = json.loads((second / "run.json").read_text())
    document["rules"]["limits"]["target"]["val_loss"] = 0.5
    (second / "run.json").write_text(json.dumps(document))
    group = json.loads(pgolf("report", "--json").out)["groups"][0]
    assert group["target"] is None and "mixed_rules" in {each["rule"] for each in group["problems"]}


def test_verify_goes_by_the_rules_of_a_submission(pgolf: Pgolf, tmp_path: Path) -> None:
    write_rules(tmp_path)
    seeds = pgolf("seeds", "quickstart", "--n", "3", "--with", "micro", "--set", "ruleset=short.yaml")
    assert seeds.code == 0
    (group,) = (tmp_path / "runs").glob("*")
    made = pgolf("submission", *map(str, group.glob("seed-*")), "--author", "A", "--github-id", "a", "--out", "sub")
    assert made.code == 0, made.err
    found = {each["rule"]: each["status"] for each in json.loads(pgolf("verify", "sub", "--json").out)["checks"]}
    assert found["limit"] == "unknown"
    found = json.loads(pgolf("verify", "sub", "--ruleset", "parameter_golf", "--json").out)["checks"]
    assert {each["rule"]: each["status"] for each in found}["limit"] == "pass"
