"""Leaderboard of submission folders, and the command that prints it."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from pgolf.report.csv_table import leaderboard_csv
from pgolf.report.leaderboard import leaderboard_markdown, ranked
from pgolf.report.page.ranking import leaderboard_page
from pgolf.rulesets.ruleset import load_ruleset
from tests.conftest import Ended

RULES = load_ruleset("parameter_golf")


def write_record(folder: Path, bpb: float, total: int = 15_900_000) -> None:
    folder.mkdir(parents=True)
    for number, seed in enumerate((42, 1337, 2024)):
        score = bpb + number / 1000
        (folder / f"train_seed{seed}.log").write_text(
            f"seed:{seed}\nstopping_early: wallclock_cap train_time:599000ms step:100{number}/20000\n"
            f"Total submission size int8+zlib: {total} bytes\n"
            f"final_int8_zlib_roundtrip_exact val_loss:{2 * score:.8f} val_bpb:{score:.8f}\n"
        )
    (folder / "submission.json").write_text(json.dumps({"val_bpb": round(bpb + 0.001, 8)}))


@pytest.fixture
def records(tmp_path: Path) -> Path:
    track = tmp_path / "records" / "track_10min_16mb"
    write_record(track / "second", 1.2)
    write_record(track / "first", 1.1)
    write_record(track / "too_large", 1.0, total=16_000_001)
    (track / "empty").mkdir()
    (track / "empty" / "submission.json").write_text("{}")
    return tmp_path / "records"


def test_records_are_ranked_by_mean_and_those_without_a_valid_number_follow(records: Path) -> None:
    entries = ranked(records, RULES)
    assert [(entry.rank, entry.name, entry.refusal) for entry in entries] == [
        (1, "first", None), (2, "second", None), (None, "too_large", "over_cap"), (None, "empty", "no_score"),
    ]  # fmt: skip
    assert "16,000,001 bytes" in entries[2].reason


def test_a_problem_does_not_change_the_rank(records: Path) -> None:
    single = records / "track_10min_16mb" / "first"
    for seed in (1337, 2024):
        (single / f"train_seed{seed}.log").unlink()
    log = single / "train_seed42.log"
    log.write_text("".join(line for line in log.read_text().splitlines(keepends=True) if "bytes" not in line))
    best = ranked(records, RULES)[0]
    assert (best.rank, best.name) == (1, "first")
    assert best.standing.mean == pytest.approx(1.1)
    assert {"single_seed", "no_size_in_log"} <= set(best.rules)


def test_an_ambiguous_score_is_ranked_and_said_to_be_one(records: Path) -> None:
    """No claim says which of two sets of logs the submission speaks of."""
    first = records / "track_10min_16mb" / "first"
    (first / "submission.json").write_text("{}")
    for log in list(first.glob("*.log")):
        (first / f"other_{log.name}").write_text(log.read_text().replace("1.10", "1.15"))
    entry = next(each for each in ranked(records, RULES) if each.name == "first")
    assert entry.rank is not None
    assert entry.verdict.startswith("ambiguous")
    assert sorted(each["value"] for each in entry.as_json()["ambiguous"]) == pytest.approx([1.101, 1.151])


def test_a_score_before_packing_is_not_ranked(records: Path) -> None:
    for log in (records / "track_10min_16mb" / "first").glob("*.log"):
        log.write_text(
            log.read_text().replace("final_int8_zlib_roundtrip_exact", "DIAGNOSTIC pre-quantization post-ema")
        )
    found = {entry.name: entry for entry in ranked(records, RULES)}
    assert (found["first"].rank, found["first"].refusal) == (None, "prequant_only")
    assert found["second"].rank == 1


def test_equal_means_share_a_rank(records: Path) -> None:
    write_record(records / "track_10min_16mb" / "tied", 1.1, total=15_900_001)
    write_record(records / "track_10min_16mb" / "close", 1.10000001)
    assert [(entry.rank, entry.name) for entry in ranked(records, RULES)[:4]] == [
        (1, "first"), (1, "tied"), (3, "close"), (4, "second"),
    ]  # fmt: skip


def test_a_copied_folder_ranks_once(records: Path) -> None:
    copytree(records / "track_10min_16mb" / "second", records / "track_10min_16mb" / "second_again")
    entries = {entry.name: entry for entry in ranked(records, RULES)}
    assert entries["second"].rank == 2
    assert (entries["second_again"].rank, entries["second_again"].refusal) == (None, "same_logs")
    assert entries["second_again"].reason == f"the same logs as {records}/track_10min_16mb/second"


def test_markdown_and_csv_have_every_record(records: Path) -> None:
    entries = ranked(records, RULES)
    lines = leaderboard_markdown(entries).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:6]] == ["first", "second", "too_large", "empty"]
    assert lines[7:] == [
        "- not ranked: too_large: 16,000,001 bytes, and the limit is 16,000,000",
        "- not ranked: empty: no log has a final score",
    ]
    rows = list(csv.DictReader(io.StringIO(leaderboard_csv(entries))))
    assert [float(row["mean"] or "inf") for row in rows] == pytest.approx([1.101, 1.201, 1.001, float("inf")])
    assert [row["rank"] for row in rows] == ["1", "2", "", ""]
    assert rows[2]["refused_for"] == "over_cap"


def test_report_leaderboard_prints_json_and_html(pgolf: Callable[..., Ended], records: Path) -> None:
    found = pgolf("report", "--leaderboard", str(records), "--json").json["leaderboard"]
    assert [entry["rank"] for entry in found] == [1, 2, None, None]
    assert found[0]["mean"] == pytest.approx(1.101)
    page = pgolf("report", "--leaderboard", str(records), "--format", "html")
    assert page.code == 0
    assert page.out.index("first") < page.out.index("second")


def test_a_problem_is_shown_with_its_evidence(pgolf: Callable[..., Ended], records: Path) -> None:
    """Code outside the counted total has a size and no key; the table counts what only warns."""
    first = records / "track_10min_16mb" / "first"
    (first / "train_gpt.py").write_text("#" * 60_000)
    for log in first.glob("*.log"):
        log.write_text("Code size: 47642 bytes\n" + log.read_text())
    (first / "submission.json").write_text('{"val_bpb": 1.1000}')
    best = ranked(records, RULES)[0]
    assert best.verdict == "best_seed_headline, 1 warning"
    shown = pgolf("report", str(first), "--explain").out
    assert "the mean 1.10100000 is that of 1.10100000, 1.10200000, 1.10000000" in shown
    assert "best_seed_headline (fail, compared at 4 decimals):\n  1.1000  submission.json:1 val_bpb\n" in shown
    page = leaderboard_page(ranked(records, RULES))
    assert "<code>train_gpt.py</code>" in page
    assert "<code>train_seed42.log:5 final_int8_zlib_roundtrip_exact</code>" in page


def test_report_tests_a_record_against_a_baseline_and_explains_it(pgolf: Callable[..., Ended], records: Path) -> None:
    track = records / "track_10min_16mb"
    ended = pgolf("report", str(track / "first"), "--baseline", str(track / "second"), "--explain")
    assert ended.code == 0
    assert "first against second: 0.100000 bpb" in ended.out
    assert "strict rule: met" in ended.out
    assert "val_bpb, val_loss from train_seed42.log:4" in ended.out
    versus = pgolf("report", str(track / "first"), "--baseline", str(track / "second"), "--json").json["groups"][0][
        "versus"
    ]
    assert versus["delta_bpb"] == pytest.approx(-0.1)
    assert versus["same_tokenizer"] is True
    assert versus["nats"]["p_one_sided"] == pytest.approx(versus["p_one_sided"], rel=1e-6)


def test_nats_are_converted_from_bpb_between_tokenizers(pgolf: Callable[..., Ended], records: Path) -> None:
    other = records / "other"
    write_record(other, 1.2)
    for log in other.glob("*.log"):
        log.write_text(log.read_text().replace("val_loss:2.4", "val_loss:3.6"))
    facts = pgolf("report", str(records / "track_10min_16mb" / "first"), "--baseline", str(other), "--json")
    versus = facts.json["groups"][0]["versus"]
    assert versus["same_tokenizer"] is False
    assert versus["nats"] is None
    assert versus["delta_nats"] == pytest.approx(-0.2)
