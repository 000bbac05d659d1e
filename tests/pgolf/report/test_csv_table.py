"""CSV holds the numbers of the results, unrounded, in columns that a program can group by."""

import csv
import io
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pgolf.report.csv_table import COLUMNS, LEADERBOARD_COLUMNS, cell, csv_table, harmless, leaderboard_csv
from pgolf.report.groups import RunGroup, group_runs
from pgolf.report.leaderboard import ranked
from pgolf.rulesets.ruleset import load_ruleset
from tests.conftest import Pgolf
from tests.pgolf.report.builders import LIMIT, result_of, write_points, write_run, write_seeds

SCORES = {1: 1.2345678901, 2: 1.25, 42: 1.1999}
RATE, BITS = "recipe.optimizer.matrix_lr", "recipe.quantizer.bits.default"


def read(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV; every row has the cells of the header and no more."""
    rows = [*csv.reader(io.StringIO(text))]
    assert {len(row) for row in rows} == {len(rows[0])}
    return [*csv.DictReader(io.StringIO(text))]


@pytest.fixture
def groups(tmp_path: Path) -> list[RunGroup]:
    """Three seeds that fit, and one run of another experiment that does not."""
    runs = write_seeds(tmp_path, SCORES)
    heavy = {"model_bytes": LIMIT, "code_bytes": 3, "total_bytes": LIMIT + 3, "limit_bytes": LIMIT}
    other = result_of(7, 1.3, name="heavy", spec_sha256="e" * 64, artifact=heavy)
    return group_runs([*runs, write_run(tmp_path / "heavy-eeeeeeee" / "seed-7", other)])


def test_every_seed_has_its_unrounded_numbers(groups: list[RunGroup]) -> None:
    rows = read(csv_table(groups))
    assert [float(row["val_bpb"]) for row in rows] == [*SCORES.values(), 1.3]
    for row in rows[:3]:
        result = result_of(int(row["seed"]), float(row["val_bpb"]))
        assert float(row["val_loss"]) == result["headline"]["val_loss"]
        assert int(row["total_bytes"]) == result["artifact"]["total_bytes"]
        assert float(row["train_seconds"]) == result["clock"]["train_seconds"]
        assert int(row["steps"]) == result["steps"]
        hashes = row["spec_sha256"], row["code_sha256"], row["data_sha256"]
        assert hashes == tuple(letter * 64 for letter in "acd")
        assert row["usd"] == "", "what is not known is empty"
        run_dir = Path(row["run_dir"])
        assert (run_dir / "result.json").is_file()
        assert row["run_id"] == f"{run_dir.parent.name}/{run_dir.name}"
    assert [row["problems"] for row in rows] == ["", "", "", "over_cap"]
    assert [row["group_problems"] for row in rows] == ["", "", "", "over_cap; single_seed"]


def test_a_sweep_has_a_column_for_each_key_and_groups_by_it(tmp_path: Path, pgolf: Pgolf) -> None:
    points = [{RATE: rate, BITS: bits} for rate in (0.02, 1e-05) for bits in (5, 6)]
    write_points(tmp_path / "runs", points)
    ended = pgolf("report", "--format", "csv")
    rows = read(ended.out)
    assert [*rows[0]] == [*COLUMNS, RATE, BITS]
    found: dict[tuple[float, int], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        found[float(row[RATE]), int(row[BITS])].append(row)
    assert set(found) == {(point[RATE], point[BITS]) for point in points}
    for of_point in found.values():
        scores = [float(row["val_bpb"]) for row in of_point]
        interval = stats.t.interval(0.95, 2, loc=np.mean(scores), scale=stats.sem(scores))
        for row in of_point:
            assert int(row["n"]) == len(scores) == 3
            assert float(row["mean"]) == pytest.approx(np.mean(scores), rel=1e-12)
            assert float(row["std"]) == pytest.approx(np.std(scores, ddof=1), rel=1e-9)
            assert (float(row["ci95_low"]), float(row["ci95_high"])) == pytest.approx(interval, rel=1e-9)
    document = pgolf("report", "--json").json
    assert [group["swept"] for group in document["groups"]] == sorted(points, key=lambda p: (p[RATE], p[BITS]))


def test_a_sweep_over_many_keys_keeps_all_of_them(tmp_path: Path, pgolf: Pgolf) -> None:
    keys = [f"recipe.optimizer.part{number}" for number in range(8)]
    write_points(tmp_path / "runs", [dict.fromkeys(keys, value) for value in (0.5, 0.25)], seeds=(1,))
    rows = read(pgolf("report", "--format", "csv").out)
    assert [[row[key] for key in keys] for row in rows] == [["0.25"] * 8, ["0.5"] * 8]
    assert {row["std"] + row["ci95_low"] + row["ci95_high"] for row in rows} == {""}, "one seed has no spread"
    assert "Swept:" not in pgolf("report", "--format", "html").out


def test_the_header_is_the_same_without_runs_and_with_a_baseline(
    groups: list[RunGroup], tmp_path: Path, pgolf: Pgolf
) -> None:
    assert csv_table([]) == ",".join(COLUMNS) + "\n"
    ended = pgolf("report", tmp_path, "--baseline", tmp_path / "exp-aaaaaaaa", "--format", "csv")
    rows = read(ended.out)
    assert [*rows[0]] == [*COLUMNS]
    assert [(row["baseline"], row["delta_bpb"]) for row in rows] == [("exp", "0.0")] * 3 + [("", "")]


@pytest.mark.parametrize("name", ['a,b"c', "line\nbreak", "plain", "a" * 500])
def test_any_name_comes_back_whole(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result_of(1, 1.2, name=name))
    (row,) = read(csv_table(group_runs([run])))
    assert row["name"] == name


def test_the_ranking_has_raw_numbers(tmp_path: Path) -> None:
    for name, scores in {"good": (1.1234567, 1.125, 1.13), "=worse": (1.2, 1.21)}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "submission.json").write_text(json.dumps({"name": name, "val_bpb": round(np.mean(scores), 4)}))
        for seed, bpb in enumerate(scores):
            lines = [f"seed:{seed}", f"final_int8_zlib_roundtrip_exact val_loss:{2 * bpb} val_bpb:{bpb}"]
            (folder / f"train_seed{seed}.log").write_text("\n".join(lines))
    rows = read(leaderboard_csv(ranked(tmp_path, load_ruleset("parameter_golf"))))
    assert [*rows[0]] == [*LEADERBOARD_COLUMNS]
    by_folder = {Path(row["folder"]).name: row for row in rows}
    good = by_folder["good"]
    assert float(good["mean"]) == pytest.approx(np.mean([1.1234567, 1.125, 1.13]), rel=1e-12)
    assert float(good["std"]) == pytest.approx(np.std([1.1234567, 1.125, 1.13], ddof=1), rel=1e-9)
    assert (good["n"], good["max_total_bytes"], good["rank"], good["refused_for"]) == ("3", "", "1", "")
    assert "no_size_in_log" in good["problems"].split("; ")
    assert by_folder["=worse"]["name"].startswith("'=")


def test_cells_are_raw_values() -> None:
    values = [None, True, [1, 2], {"kind": "x"}, 12_345_678, 0.1 + 0.2, "-0.5", "1e-3", "-", "exp"]
    assert [cell(value) for value in values] == [
        None, "true", "[1, 2]", '{"kind": "x"}', 12_345_678, 0.1 + 0.2, "-0.5", "1e-3", "-", "exp",
    ]  # fmt: skip


def test_a_formula_is_text() -> None:
    assert [harmless(text) for text in ("=HYPERLINK(1)", "@x", "-cmd")] == ["'=HYPERLINK(1)", "'@x", "'-cmd"]
