"""Leaderboard of submission folders, and the command that prints it."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pgolf.report.csv_table import leaderboard_csv
from pgolf.report.leaderboard import leaderboard_markdown, ranked
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


def test_passing_records_are_ranked_by_mean_and_the_rest_follow(records: Path) -> None:
    entries = ranked(records, RULES)
    assert [(entry.rank, entry.group.name) for entry in entries] == [
        (1, "first"), (2, "second"), (None, "too_large"), (None, "empty"),
    ]  # fmt: skip
    assert entries[2].refusals == ["over_cap"]
    assert entries[3].refusals == ["no_log"]


def test_markdown_and_csv_have_every_record(records: Path) -> None:
    entries = ranked(records, RULES)
    assert [line.split(" | ")[1] for line in leaderboard_markdown(entries).splitlines()[2:]] == [
        "first", "second", "too_large", "empty",
    ]  # fmt: skip
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


def test_report_tests_a_record_against_a_baseline_and_explains_it(pgolf: Callable[..., Ended], records: Path) -> None:
    track = records / "track_10min_16mb"
    ended = pgolf("report", str(track / "first"), "--baseline", str(track / "second"), "--explain")
    assert ended.code == 0
    assert "first against second: 0.100000 bpb" in ended.out
    assert "strict rule: met" in ended.out
    assert "val_bpb from train_seed42.log:4" in ended.out
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
