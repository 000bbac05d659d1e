"""Problems of claims: named with evidence, and only where the logs settle them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pgolf.records.claim_problems import claim_problems
from pgolf.records.groups import record_groups
from pgolf.records.printed import Printed, Problem
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.records.conftest import RECORDS

RULES = load_ruleset("parameter_golf")
CASES = RECORDS.parent / "cases" / "records"


def write(folder: Path, scores: dict[str, str], claims: dict[str, Any], train_ms: int = 599_000) -> Path:
    """Write a folder with a log for each seed's score, as printed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, score in scores.items():
        (folder / f"train_seed{name}.log").write_text(
            f"seed:{name}\nstopping_early: wallclock_cap train_time:{train_ms}ms step:9/10\n"
            "Total submission size int8+zlib: 15900000 bytes\n"
            f"final_roundtrip_exact val_loss:2.0{name} val_bpb:{score}\n"
        )
    (folder / "submission.json").write_text(json.dumps(claims))
    return folder


def problems_of(folder: Path) -> dict[str, Problem]:
    return {found.rule: found for found in record_groups(folder, RULES)[0].problems() if isinstance(found, Problem)}


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside the checkout")
@pytest.mark.parametrize(
    "case",
    [
        "mean_of_rounded_claims/a",
        "claim_finer_than_log/a",
        "readme_table_is_not_seeds/a",
        "readme_table_is_not_seeds/b_vocab",
        "over_time_on_unlimited_track/a/track_non_record_16mb/neutral",
        "readme_first_bpb_is_a_baseline/a",
    ],
)
def test_an_honest_folder_has_no_failure(case: str) -> None:
    assert [found.rule for found in problems_of(CASES / case).values() if found.severity == "fail"] == []
    assert not {"wrong_mean", "missing_seed_log", "claim_not_in_logs", "over_time"} & set(problems_of(CASES / case))


def test_a_wrong_mean_has_both_numbers_and_the_decimals(tmp_path: Path) -> None:
    claims = {"val_bpb": 1.1512, "seed_results": {"11": {"val_bpb": 1.1001}, "22": {"val_bpb": 1.3003}}}
    folder = write(tmp_path, {"11": "1.10010000", "22": "1.30030000"}, claims)
    found = problems_of(folder)["wrong_mean"]
    claimed, mean, *logged = found.evidence
    assert (found.severity, found.decimals) == ("fail", 4)
    assert (claimed.value, claimed.file, claimed.line) == (1.1512, "submission.json", 1)
    assert mean.value == pytest.approx((1.1001 + 1.3003) / 2)
    assert [(each.value, each.file, each.line) for each in logged] == [
        (1.1001, "train_seed11.log", 4),
        (1.3003, "train_seed22.log", 4),
    ]


@pytest.mark.parametrize(("claimed", "is_wrong"), [(1.2, False), (1.2001, False), (1.2003, True)])
def test_a_mean_is_compared_at_the_coarser_precision(tmp_path: Path, claimed: float, is_wrong: bool) -> None:
    folder = write(tmp_path, {"11": "1.1000", "22": "1.3001"}, {"val_bpb": claimed, "seeds": [11, 22]})
    assert ("wrong_mean" in problems_of(folder)) is is_wrong


def test_a_seed_with_too_few_logs_is_missing(tmp_path: Path) -> None:
    folder = write(tmp_path, {"11": "1.1000"}, {"val_bpb": 1.1, "seeds": [11, 22], "track": "10min_16mb"})
    found = problems_of(folder)["missing_seed_log"]
    assert (found.severity, [each.value for each in found.evidence]) == ("fail", [11])


@pytest.mark.parametrize("name", ["logs/run_22.out", "seed22/train.txt", "b22_eval.log.gz"])
def test_a_file_that_may_be_its_log_excuses_a_seed(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, {"11": "1.1000"}, {"val_bpb": 1.1, "seeds": [11, 22], "track": "10min_16mb"})
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"nothing that is read")
    assert "missing_seed_log" not in problems_of(folder)


def test_a_claimed_score_under_another_seed_excuses_it(tmp_path: Path) -> None:
    claims = {"val_bpb": 1.2, "track": "10min_16mb", "seeds": {"11": 1.15, "22": 1.23, "33": 1.22}}
    folder = write(tmp_path, {"44": "1.2200", "11": "1.1500"}, claims)
    assert problems_of(folder)["missing_seed_log"].message == "there is no log of seed 22"


def test_a_score_that_another_claim_explains_is_no_excuse(tmp_path: Path) -> None:
    claims = {"val_bpb": 1.16, "seeds": {"11": 1.15, "22": 1.15, "33": 1.18}}
    folder = write(tmp_path, {"11": "1.15001", "22": "1.17004", "33": "1.18003"}, claims)
    assert "1.15 of seed 22" in problems_of(folder)["claim_not_in_logs"].message


def test_a_best_seed_is_a_warning_where_the_readme_gives_the_mean(tmp_path: Path) -> None:
    folder = write(tmp_path, {"11": "1.1000", "22": "1.3000"}, {"val_bpb": 1.1000, "seeds": [11, 22]})
    (folder / "submission.json").write_text('{"val_bpb": 1.1000, "seeds": [11, 22]}')
    assert problems_of(folder)["best_seed_headline"].severity == "fail"
    (folder / "README.md").write_text("# X — val_bpb 1.2000 (2-seed mean)")
    assert problems_of(folder)["best_seed_headline"].severity == "warn"


@pytest.mark.parametrize(("track", "severity"), [("10min_16mb", "fail"), ("non-record-16mb", None), ("", "warn")])
def test_the_track_decides_whether_a_clock_counts(tmp_path: Path, track: str, severity: str | None) -> None:
    folder = write(tmp_path, {"11": "1.1000"}, {"val_bpb": 1.1, "track": track}, train_ms=700_000)
    found = problems_of(folder).get("over_time")
    assert (None if found is None else found.severity) == severity


def test_no_claim_is_accused_where_the_logs_are_ambiguous(tmp_path: Path) -> None:
    claims = {"val_bpb": 1.15, "val_bpb_std": 0.01, "seeds": {"11": 1.15, "22": 1.3}}
    (group,) = record_groups(write(tmp_path, {"11": "1.1000", "22": "1.3000"}, claims), RULES)
    other = replace(group, ambiguous=(Printed(1.15, 4, "train_seed11.log", 3),))
    named = {"claim_not_in_logs", "wrong_mean", "wrong_std"}
    assert "claim_not_in_logs" in {found.rule for found in claim_problems(group)}
    assert not named & {found.rule for found in claim_problems(other)}


def test_a_size_in_a_claim_is_enough(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text("seed:1\nfinal_roundtrip_exact val_loss:2.0 val_bpb:1.2000\n")
    assert "no_size_in_log" in problems_of(tmp_path)
    (tmp_path / "submission.json").write_text('{"bytes_total": 15900000}')
    assert "no_size_in_log" not in problems_of(tmp_path)
