"""Claims: what counts as one, and when the logs contradict it."""

from pathlib import Path

import pytest

from pgolf.records.claim_reading import read_claims
from pgolf.records.groups import record_groups
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.records.test_lead import folder_of, lead_of, log, rules_of

ACCUSATIONS = {"wrong_mean", "best_seed_headline", "claim_not_in_logs", "missing_seed_log"}
RULES = load_ruleset("parameter_golf")


def logs_of(**scores: float) -> dict[str, str]:
    return {f"train_{name}.log": log(bpb, seed=int(name[4:])) for name, bpb in scores.items()}


@pytest.mark.parametrize(
    ("text", "headline", "line"),
    [
        ("# neutral\n\npre-quant val_bpb: 1.08830 vs baseline 1.08775\n\nfinal val_bpb: 1.0814\n", 1.0814, 5),
        ("# Record: loops, val_bpb 1.0810 (3-seed mean)\n\nval_bpb of the baseline: 1.2244\n", 1.0810, 1),
        ("# A\n\nThe previous record has val_bpb 1.1194.\n\n**val_bpb: 1.0800** (mean)\n", 1.0800, 5),
        ("# A\n\n| step | val_bpb |\n|---|---|\n| 1 | val_bpb 1.3 |\n", None, None),
        ("# A\n\nval_bpb: 1.0712\n", 1.0712, 3),
    ],
)
def test_the_headline_of_a_readme(tmp_path: Path, text: str, headline: float | None, line: int | None) -> None:
    (tmp_path / "README.md").write_text(text)
    found = read_claims(tmp_path).headlines.get("readme")
    assert (found and found.value, found and found.line) == (headline, line)


@pytest.mark.parametrize("head", ["Step", "vocab", "Layers", "seq_len"])
def test_a_table_whose_first_column_is_not_the_seed_claims_no_seeds(tmp_path: Path, head: str) -> None:
    (tmp_path / "README.md").write_text(f"| {head} | val_bpb |\n|---|---|\n| 1024 | 1.3000 |\n| 4096 | 1.2000 |\n")
    assert read_claims(tmp_path).seeds == []


@pytest.mark.parametrize("head", ["Seed", "**Seed**", "seeds", "Random seed"])
def test_a_table_of_seeds_claims_them(tmp_path: Path, head: str) -> None:
    rows = ["|---|---|---|", "| 42 | 7000 | 1.3000 |", "| **7** | 7001 | 1.2000 |", "| Mean | | 1.25 |"]
    (tmp_path / "README.md").write_text("\n".join([f"| {head} | steps | val_bpb |", *rows]))
    found = read_claims(tmp_path)
    assert {seed: bpb.value for seed, bpb in found.bpb_by_seed.items()} == {42: 1.3, 7: 1.2}


def test_a_mean_of_rounded_claims_is_right(tmp_path: Path) -> None:
    """1.08558, 1.08561 and 1.08564 are the rounded scores; their mean is 8e-6 above that of the logs."""
    logs = logs_of(seed11=1.085575, seed22=1.085605, seed33=1.085635)
    claims = {"11": {"val_bpb": 1.08558}, "22": {"val_bpb": 1.08561}, "33": {"val_bpb": 1.08564}}
    assert not ACCUSATIONS & rules_of(lead_of(folder_of(tmp_path, logs, val_bpb=1.08561, seed_results=claims)))


def test_a_claim_with_more_digits_than_the_log_is_compared_at_those_of_the_log(tmp_path: Path) -> None:
    logs = {"train.log": log(1.094402, seed=42).replace("1.09440200", "1.094402")}
    claims = {"42": {"val_bpb": 1.09440207}}
    assert not ACCUSATIONS & rules_of(lead_of(folder_of(tmp_path, logs, val_bpb=1.09440207, seed_results=claims)))


def test_a_wrong_mean_is_named_with_both_numbers_their_places_and_the_decimals(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, logs_of(seed11=1.11, seed22=1.12, seed33=1.13), val_bpb=1.1057)
    found = next(each for each in lead_of(folder)["problems"] if each["rule"] == "wrong_mean")
    claimed, mean, *scores = found["evidence"]
    assert (claimed["value"], claimed["file"], found["compared_decimals"]) == (1.1057, "submission.json", 4)
    assert mean["value"] == pytest.approx(1.12, abs=1e-12)
    assert {(each["value"], each["file"], each["line"]) for each in scores} == {
        (1.11, "train_seed11.log", 7),
        (1.12, "train_seed22.log", 7),
        (1.13, "train_seed33.log", 7),
    }


def test_nothing_is_named_where_two_sets_of_logs_may_be_meant(tmp_path: Path) -> None:
    first, second = logs_of(seed11=1.11, seed22=1.12, seed33=1.13), logs_of(seed11=1.21, seed22=1.22, seed33=1.23)
    found = lead_of(folder_of(tmp_path, first | {f"b_{name}": text for name, text in second.items()}, val_bpb=1.05))
    assert sorted(each["value"] for each in found["ambiguous"]) == pytest.approx([1.12, 1.22], abs=1e-12)
    assert "ambiguous" in rules_of(found)
    assert not ACCUSATIONS & rules_of(found)


@pytest.mark.parametrize(("seed", "is_missing"), [(None, False), (33, True)])
def test_a_claimed_seed_may_be_that_of_a_log_that_shows_none(
    tmp_path: Path, seed: int | None, is_missing: bool
) -> None:
    logs = logs_of(seed11=1.11, seed22=1.12) | {"third.log": log(1.13, seed=seed)}
    groups = record_groups(folder_of(tmp_path, logs, val_bpb=1.12, seeds=[11, 22, 44]), RULES)
    assert any(found.rule == "missing_seed_log" for found in groups[0].problems()) == is_missing


def test_a_summary_that_the_evaluation_contradicts_supports_no_claim(tmp_path: Path) -> None:
    """As in #1535, whose summary of seed 444 is that of an earlier run."""
    logs = logs_of(seed11=1.11, seed22=1.12, seed33=1.13)
    logs["train_seed33.log"] += "---\nint6_sw_bpb:      1.1254\n"
    found = lead_of(folder_of(tmp_path, logs, val_bpb=1.1185, seed_results={"33": {"val_bpb": 1.1254}}))
    problem = next(each for each in found["problems"] if each["rule"] == "claim_not_in_logs")
    said = "no evaluation in the logs has the claimed 1.1254 of seed 33; they print it elsewhere"
    said += ", not as a score that is read"
    assert (problem["status"], problem["message"]) == ("warn", said)
