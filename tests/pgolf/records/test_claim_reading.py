"""Claims of submission.json and README.md, in the dialects of public folders."""

import json
from pathlib import Path

import pytest

from pgolf.records.claim_reading import read_claims
from pgolf.records.claims import Claims
from pgolf.records.track import Track, track_of
from pgolf.rulesets.ruleset import load_ruleset


def claims_of(folder: Path, submission: str = "{}", readme: str = "", name: str = "README.md") -> Claims:
    (folder / "submission.json").write_text(submission)
    (folder / name).write_text(readme)
    return read_claims(folder)


def test_a_number_keeps_its_zeros_and_its_line(tmp_path: Path) -> None:
    text = """{
 "blurb": "1.5 \\" 2",
 "val_bpb": 1.08100,
 "seeds": {"42": {"val_bpb": 1.0},
  "7": {"val_bpb": 2.50}}
}"""
    claims = claims_of(tmp_path, text)
    headline, scores = claims.headline, claims.bpb_by_seed
    assert headline is not None
    assert (headline.value, headline.decimals, headline.line, headline.key) == (1.081, 5, 3, "val_bpb")
    assert {seed: (score.value, score.decimals, score.line) for seed, score in scores.items()} == {
        42: (1.0, 1, 4),
        7: (2.5, 2, 5),
    }


@pytest.mark.parametrize(
    ("submission", "headline", "seeds"),
    [
        ('{"val_bpb": 1.07, "seed": 314}', 1.07, [314]),
        ('{"val_bpb": null, "mean_val_bpb": 1.08}', 1.08, []),
        ('{"val_bpb": "1.08", "seeds": ["42", "7"]}', 1.08, [42, 7]),
        ('{"val_bpb": {"mean": 1.09, "std": 0.001}}', 1.09, []),
        ('{"three_seed_mean_bpb": 1.07}', 1.07, []),
        ('{"val_bpb": null, "val_bpb_retracted": 0.9, "mean_val_bpb": 0.9, "status": "retracted"}', None, []),
        ('{"val_bpb": true, "seeds": 3}', None, []),
        ('{"val_bpb": 1.1, "seeds": [{"seed": 5, "val_bpb": 1.1}]}', 1.1, [5]),
        ('{"val_bpb": 1.1, "val_bpb_per_seed": {"5": 1.2, "6": 1.0}}', 1.1, [5, 6]),
        ('{"val_bpb": 1.1, "seed_5": {"val_bpb": 1.1}}', 1.1, [5]),
        ('{"val_bpb": NaN}', None, []),
        ('{"val_bpb": 1e-' + "9" * 5_000 + "}", None, []),
    ],
)
def test_each_dialect_of_the_headline_and_the_seeds_is_read(
    tmp_path: Path, submission: str, headline: float | None, seeds: list[int]
) -> None:
    claims = claims_of(tmp_path, submission)
    assert (None if claims.headline is None else claims.headline.value) == headline
    assert claims.seeds == seeds


def test_a_key_is_shown_without_control_characters(tmp_path: Path) -> None:
    claims = claims_of(tmp_path, json.dumps({"seed_results\x1b[31m": {"5": 1.1}}))
    assert "\x1b" not in claims.bpb_by_seed[5].place


def test_bytes_by_seed_are_no_scores(tmp_path: Path) -> None:
    claims = claims_of(tmp_path, '{"seeds": [5], "seed_artifact_bytes": {"5": 7}, "val_loss_per_seed": {"5": 2.7}}')
    assert (claims.seeds, claims.bpb_by_seed) == ([5], {})


def test_a_support_package_claims_nothing(tmp_path: Path) -> None:
    assert claims_of(tmp_path, '{"submission_type": "record_support", "supports_pr": 1855}').headline is None


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marked_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "submission.json").write_text('{"val_bpb": 1.25}', encoding=encoding)
    headline = read_claims(tmp_path).headline
    assert headline is not None and headline.value == 1.25


@pytest.mark.parametrize(
    ("readme", "headline"),
    [
        ("# Record: X — val_bpb 1.0813 (3-seed mean)\nbaseline val_bpb: 1.2244", 1.0813),
        ("# X\nThe baseline has val_bpb 1.2244.\n**val_bpb: 1.0813 (3-seed mean, std 0.0002)**", 1.0813),
        ("# X\npre-quant val_bpb: 1.0883 vs baseline 1.0877\n\nfinal val_bpb: 1.0814", 1.0814),
        ("# X\nWe improve on val_bpb 1.2244 of the baseline.", None),
        ("# Beats the baseline val_bpb 1.2244", None),
        ("| Step | val_bpb |\n|---|---|\n| 1000 | 1.3000 |", None),
    ],
)
def test_the_headline_of_a_readme_is_no_other_score(tmp_path: Path, readme: str, headline: float | None) -> None:
    found = claims_of(tmp_path, readme=readme).headline
    assert (None if found is None else found.value) == headline


@pytest.mark.parametrize(
    ("table", "scores"),
    [
        (
            "| Seed | Pre-quant BPB | **Post-TTT BPB** |\n|--|--|--|\n| 42 | 1.1 | **1.0800** |\n| Mean | 1 | 1.08 |",
            {42: 1.08},
        ),
        ("| Step | val_bpb |\n|---|---|\n| 1000 | 1.3000 |", {}),
        ("| vocab | bpb |\n|---|---|\n| 1024 | 1.1500 |", {}),
        ("| seed | bpb |\n|---|---|\n| 42 | 1.1500 |\n| 42 | 1.1000 |", {}),
    ],
)
def test_the_first_column_of_a_seed_table_is_called_seed(tmp_path: Path, table: str, scores: dict[int, float]) -> None:
    claims = claims_of(tmp_path, readme=table, name="readme.MD")
    assert {seed: score.value for seed, score in claims.bpb_by_seed.items()} == scores
    assert claims.seeds == list(scores)


@pytest.mark.parametrize(
    ("place", "submission", "track"),
    [
        ("track_10min_16mb/a", {}, Track.TEN_MINUTES),
        ("track_non_record_16mb/a", {"track": "10min_16mb"}, Track.UNLIMITED),
        ("a", {"track": "non-record-unlimited-compute-16mb"}, Track.UNLIMITED),
        ("a", {"track": "10min_16mb", "non_record": True}, Track.UNLIMITED),
        ("a", {"track": "track_10min_16mb"}, Track.TEN_MINUTES),
        ("2026-04-01_NonRecord_Mamba", {}, Track.UNLIMITED),
        ("a", {}, Track.UNKNOWN),
    ],
)
def test_the_track_is_named_by_claims_and_folders(
    tmp_path: Path, place: str, submission: dict[str, object], track: Track
) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (folder / "submission.json").write_text(json.dumps(submission))
    rules = load_ruleset("parameter_golf")
    assert track_of(read_claims(folder), folder, rules) is track
    own = rules.model_copy(update={"name": "mine"})
    assert track_of(read_claims(folder), folder, own) is (track if track is Track.UNLIMITED else Track.OWN)
