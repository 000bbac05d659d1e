"""Today's commands read what earlier releases wrote; tests/frozen/README.md says how that was made."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Pgolf

FROZEN = Path(__file__).parent / "frozen" / "0.1.0"
CODE_SHA256 = "13555532079c56b18e23c4ed9ed9ab44e18058aa240d10054021de1e2e07db7c"
MADE_IN = "/tmp/frozen"
DATA = ("--with", "micro", "--set", "recipe.data={kind: shards, folder: data}")
SCORES = {1337: 5.002142756508851, 42: 5.02844613591182}
SEARCHED = {"0.0353845": 4.950752658833548, "0.0261229": 4.9806543534411265}


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    """Return a copy of 0.1.0's folder, in which the commands run."""
    shutil.copytree(FROZEN, tmp_path, dirs_exist_ok=True)
    for document in tmp_path.glob("runs/*/seed-*/run.json"):
        text = document.read_text(encoding="utf-8")
        assert MADE_IN in text
        document.write_text(text.replace(MADE_IN, str(tmp_path)), encoding="utf-8")
    return tmp_path


def by_rule(document: dict[str, Any]) -> dict[str, set[str]]:
    """Statuses by rule."""
    found: dict[str, set[str]] = {}
    for check in document["checks"]:
        found.setdefault(check["rule"], set()).add(check["status"])
    return found


def test_report_has_their_scores_and_statistics(pgolf: Pgolf, frozen: Path) -> None:
    groups = {group["name"]: group for group in pgolf("report", "--json").json["groups"]}
    assert {*groups} == {"quickstart", *(f"frozen matrix_lr={lr}" for lr in SEARCHED)}
    group = groups["quickstart"]
    assert {row["seed"]: row["val_bpb"] for row in group["seeds"]} == SCORES
    assert group["code_sha256"] == CODE_SHA256
    assert (group["n"], group["over_limit"], group["max_total_bytes"]) == (2, False, 44_876)
    assert group["mean"] == pytest.approx(5.015294446210335, rel=1e-14)
    assert group["std"] == pytest.approx(0.018599297943961948, rel=1e-12)
    half = 12.706204736174698 * 0.018599297943961948 / 2**0.5  # Student's t with one degree of freedom
    assert group["ci95"] == pytest.approx([5.015294446210335 - half, 5.015294446210335 + half], rel=1e-12)
    for lr, score in SEARCHED.items():
        assert groups[f"frozen matrix_lr={lr}"]["seeds"][0]["val_bpb"] == score


def test_status_lists_them_as_finished(pgolf: Pgolf, frozen: Path) -> None:
    rows = pgolf("status", "--json").json["runs"]
    assert len(rows) == 4
    assert {(row["state"], row["step"], row["launcher"]) for row in rows} == {("finished", 12, "local")}


def test_a_run_is_audited_by_its_files(pgolf: Pgolf, frozen: Path) -> None:
    ended = pgolf("audit", "runs/quickstart-48538a8a/seed-1337", "--json")
    assert ended.code == 0, ended.err
    verdicts = {finding["rule"]: finding["status"] for finding in ended.json["findings"]}
    assert "fail" not in verdicts.values()
    for rule in ("SIZE-CAP", "SIZE-CODE-IS-SHIPPED-CODE", "BPB-IDENTITY", "LOG-COMPLETE", "C1-CAUSAL", "LOSSLESS"):
        assert verdicts[rule] == "pass", rule


def test_a_submission_is_verified_with_its_own_program(pgolf: Pgolf, frozen: Path) -> None:
    ended = pgolf("verify", "submission", "--data", "data", "--run-code", "--json")
    assert ended.code == 0, ended.err
    statuses = by_rule(ended.json)
    assert statuses.pop("seeds") == {"warn"}
    assert set.union(*statuses.values()) == {"pass"}
    assert [check["rule"] for check in ended.json["checks"]].count("score") == 2
    assert ended.json["confinement"]["level"] in ("bubblewrap", "landlock")


def test_a_submission_is_audited_by_its_numbers(pgolf: Pgolf, frozen: Path) -> None:
    ended = pgolf("audit", "submission", "--json")
    assert ended.code == 0, ended.err
    verdicts = {finding["rule"]: finding["status"] for finding in ended.json["findings"]}
    assert "fail" not in verdicts.values()
    assert verdicts["MEAN-NOT-BEST"] == verdicts["SIZE-CAP"] == "pass"


def test_the_shards_are_verified(pgolf: Pgolf, frozen: Path) -> None:
    assert pgolf("data", "verify", "data").code == 0


def test_a_search_goes_on_from_its_ledger(pgolf: Pgolf, frozen: Path) -> None:
    before = (frozen / "runs" / "frozen.search" / "ledger.yaml").read_bytes()
    ended = pgolf("search", "search.yaml", *DATA, "--budget-runs", "2", "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["spent"]["runs"], ended.json["best"]["val_bpb"]) == (2, SEARCHED["0.0353845"])
    assert (frozen / "runs" / "frozen.search" / "ledger.yaml").read_bytes() == before


def test_a_run_of_other_code_is_neither_reused_nor_resumed(pgolf: Pgolf, frozen: Path) -> None:
    run = frozen / "runs" / "quickstart-48538a8a" / "seed-1337"
    reused = pgolf("run", "quickstart", *DATA)
    (run / "result.json").unlink()
    resumed = pgolf("run", "quickstart", *DATA)
    for ended in (reused, resumed):
        assert ended.code == 2, ended.err
        assert CODE_SHA256[:12] in ended.err and "--fresh" in ended.err
    assert not [*frozen.glob("runs/quickstart-*/seed-*.1")]
