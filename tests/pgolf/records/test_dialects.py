"""Ordinary folders that are easily misread, each reduced to the feature that makes it so."""

import json
from datetime import date
from pathlib import Path

import pytest

from pgolf.records.folder import is_record
from pgolf.records.groups import record_groups
from pgolf.records.rows import RecordGroup
from pgolf.report.tables import verdict_of
from pgolf.rulesets.ruleset import load_ruleset
from trainer.dialects.logged import LoggedRun
from trainer.dialects.scores import CODE_LINE
from trainer.dialects.settings import logged_seed

RULES = load_ruleset("parameter_golf")
SCORES = {42: 1.11042, 7: 1.11007, 99: 1.11099}
MEAN = sum(SCORES.values()) / 3


def log_of(seed: int, bpb: float, size: str = "15960000 bytes", *, train_ms: int = 599_900) -> list[str]:
    return [
        "val_loader:shards pattern=./fineweb_val_*.bin tokens:62021632",
        "model_params:26928220",
        "world_size:8 grad_accum_steps:1",
        f"seed:{seed}",
        "step:200/20000 train_loss:2.3000 train_time:8700ms step_avg:43.50ms",
        f"stopping_early: wallclock_cap train_time:{train_ms}ms step:7180/20000",
        f"Total submission size int6+lzma: {size}",
        f"final_int6_sliding_window_exact val_loss:{bpb * 1.6884:.8f} val_bpb:{bpb:.8f}",
    ]


def write(folder: Path, files: dict[str, list[str]], **claims: object) -> Path:
    for name, lines in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "submission.json").write_text(json.dumps(claims))
    return folder


def by_seed(**changes: object) -> dict[str, list[str]]:
    return {f"train_seed{seed}.log": log_of(seed, bpb, **changes) for seed, bpb in SCORES.items()}  # type: ignore[arg-type]


def only_group(folder: Path) -> RecordGroup:
    (group,) = record_groups(folder, RULES)
    return group


def tags(group: RecordGroup) -> set[str]:
    return {found.rule for found in group.problems()}


def assert_three(group: RecordGroup) -> None:
    assert {row.seed: row.val_bpb for row in group.rows} == pytest.approx(SCORES)
    assert group.spread is not None
    assert group.spread.mean == pytest.approx(MEAN)
    assert tags(group) == set()


@pytest.mark.parametrize(
    "prefix",
    ["[2026-04-02 10:11:12,123] ", "2026-04-02T10:11:12.5Z INFO ", "[rank0]: ", "[10:11:12] ", "INFO:__main__:"],
)
def test_logger_prefixes_are_removed(prefix: str, tmp_path: Path) -> None:
    files = {name: [prefix + line for line in lines] for name, lines in by_seed().items()}
    assert_three(only_group(write(tmp_path, files, val_bpb=round(MEAN, 8))))


def test_a_source_dump_gives_neither_seed_nor_gpu(tmp_path: Path) -> None:
    source = [
        "import torch",
        "def f(seed=5):",
        "    rng = np.random.default_rng(seed=0)",
        "# tuned on RTX 5090, seed: 3",
    ]
    files = {name: source + lines for name, lines in by_seed().items()}
    assert_three(only_group(write(tmp_path, files, val_bpb=round(MEAN, 8))))


def test_a_log_of_an_evaluation_joins_the_run_of_its_seed(tmp_path: Path) -> None:
    files = {
        f"train_seed{seed}.log": [*log_of(seed, 1.2)[:-1], f"quantized val_loss:2.0 val_bpb:1.2{seed:04d}"]
        for seed in SCORES
    }
    files |= {
        f"eval_seed{s}.log": [f"seed:{s}", f"legal_ttt_exact val_loss:{b * 1.6884:.8f} val_bpb:{b:.8f}"]
        for s, b in SCORES.items()
    }
    group = only_group(write(tmp_path, files, val_bpb=round(MEAN, 8)))
    assert_three(group)
    assert {row.total_bytes for row in group.rows} == {15_960_000}
    assert {row.explain()["val_bpb"] for row in group.rows} == {f"eval_seed{seed}.log:2" for seed in SCORES}


def test_a_log_without_its_head_joins_the_model_of_the_others(tmp_path: Path) -> None:
    files = by_seed()
    files["train_seed7.log"] = files["train_seed7.log"][3:]
    assert_three(only_group(write(tmp_path, files, val_bpb=round(MEAN, 8))))


def test_a_bare_number_in_a_file_name_is_the_seed(tmp_path: Path) -> None:
    files = {
        f"log_{seed}.txt": [x for x in log_of(seed, bpb) if not x.startswith("seed")] for seed, bpb in SCORES.items()
    }
    assert_three(only_group(write(tmp_path, files, val_bpb=round(MEAN, 8))))


def test_a_seed_line_after_a_score_begins_another_run(tmp_path: Path) -> None:
    lines = [line for seed, bpb in SCORES.items() for line in log_of(seed, bpb)[3:]]
    group = only_group(write(tmp_path, {"train.log": lines}, val_bpb=round(MEAN, 8)))
    assert {row.seed for row in group.rows} == set(SCORES)
    assert tags(group) == {"multi_seed_in_one_log"}


def test_a_size_in_megabytes_is_not_read_as_bytes(tmp_path: Path) -> None:
    group = only_group(write(tmp_path, by_seed(size="16.34 MB (16,341,163 bytes)")))
    assert group.max_total_bytes == 16_341_163
    assert verdict_of(group) == "OVER THE LIMIT"
    group = only_group(write(tmp_path, by_seed(size="16.34 MB")))
    assert group.max_total_bytes == 16_340_000
    assert {row.run.size.least for row in group.rows if row.run.size} == {16_335_000}


def test_an_unprinted_size_is_unknown(tmp_path: Path) -> None:
    files = {
        name: [line for line in lines if "size" not in line.split(" ")] for name, lines in by_seed(size="x").items()
    }
    assert verdict_of(only_group(write(tmp_path, files))) == "SIZE UNKNOWN"


def test_a_longer_limit_in_the_log_does_not_extend_the_contests(tmp_path: Path) -> None:
    files = {name: ["max_wallclock_seconds:900.000", *lines] for name, lines in by_seed(train_ms=899_500).items()}
    group = only_group(write(tmp_path, files, track="10min_16mb"))
    assert verdict_of(group) == "OVER TIME"
    assert {"over_time", "mean_of_invalid_runs"} <= tags(group)


def test_a_run_without_the_common_score_is_left_out_and_named(tmp_path: Path) -> None:
    files = by_seed()
    files["train_seed7.log"] = [*files["train_seed7.log"][:-1], "post_ema val_loss:1.9 val_bpb:1.14000000"]
    group = only_group(write(tmp_path, files))
    assert {row.seed for row in group.rows} == {42, 99}
    assert "no_common_metric" in tags(group)


def test_differing_strides_are_reported(tmp_path: Path) -> None:
    files = by_seed()
    for name, stride in zip(sorted(files), (64, 64, 256), strict=True):
        files[name][-1] += f" stride:{stride}"
    assert "protocol_differs_between_seeds" in tags(only_group(write(tmp_path, files)))


def test_the_readme_table_is_read_by_its_heading(tmp_path: Path) -> None:
    write(tmp_path, by_seed(), val_bpb=round(MEAN, 8))
    rows = [f"| {seed} | **{bpb:.5f}** | {bpb * 1.6884:.6f} |" for seed, bpb in SCORES.items()]
    (tmp_path / "README.md").write_text("\n".join(["| Seed | val_bpb | val_loss |", "|---|---|---|", *rows]))
    assert_three(only_group(tmp_path))


@pytest.mark.parametrize("key", ["seed_7", "seed7", "s7", "7"])
def test_a_seeds_key_may_have_a_prefix(key: str, tmp_path: Path) -> None:
    group = only_group(
        write(tmp_path, by_seed(), val_bpb={"mean": 1.2, "std": 0.5}, seed_results={key: {"val_bpb": 1.09}})
    )
    assert "claim_not_in_logs" in tags(group)
    assert "wrong_std" not in tags(group), "the claimed deviation is that of other scores"


@pytest.mark.parametrize(
    ("claims", "logged", "dates", "hardware"),
    [
        ({"date": "2026-04-09T04:30:00Z", "hardware": "4xA100"}, [], [date(2026, 4, 9)], ["4xA100"]),
        ({"date": "2026-04-09", "gpu": "4xA100"}, ["NVIDIA H100 80GB"], [date(2026, 4, 9)], ["8x H100"]),
        ({"date": "soon", "hardware": "\x1b[2J8xH100"}, [], [], ["8xH100"]),
        ({"date": 20260409}, [], [], []),
    ],
)
def test_day_and_machine_are_those_of_the_logs_else_of_the_author(
    claims: dict[str, object], logged: list[str], dates: list[date], hardware: list[str], tmp_path: Path
) -> None:
    logs = {name: [*logged, *lines] for name, lines in by_seed().items()}
    group = only_group(write(tmp_path, logs, **claims))
    assert (group.dates, group.hardware) == (dates, hardware)


def test_committed_code_is_counted_from_its_files(tmp_path: Path) -> None:
    write(tmp_path, by_seed(), val_bpb=1.05)
    (tmp_path / "README.md").write_text("nothing")
    (tmp_path / "train_gpt.py").write_text("#" * 500_000)
    group = only_group(tmp_path)
    assert group.record.code == {"train_gpt.py": 500_000}
    assert "wrong_mean" in tags(group)


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    folder = write(tmp_path / "record", by_seed())
    (tmp_path / "secret.json").write_text('{"val_bpb": 0.5}')
    (folder / "submission.json").unlink()
    for name in ("submission.json", "README.md", "train_gpt.py"):
        (folder / name).symlink_to(tmp_path / "secret.json")
    group = only_group(folder)
    assert group.record.claims.headline is None
    assert group.record.code == {}


@pytest.mark.parametrize("value", ["1" + "0" * 400, "NaN", "1e400", '"x"', "[]"])
def test_values_that_are_not_numbers_are_ignored(value: str, tmp_path: Path) -> None:
    write(tmp_path, by_seed())
    (tmp_path / "submission.json").write_text(f'{{"val_bpb": {value}, "bytes_total": {value}, "seeds": [{value}]}}')
    group = only_group(tmp_path)
    assert group.record.claims.headline is None
    json.dumps(group.as_json(), allow_nan=False)


def test_a_folder_of_records_is_not_a_record(tmp_path: Path) -> None:
    write(tmp_path / "track" / "one", by_seed())
    assert not is_record(tmp_path / "track")
    assert is_record(tmp_path / "track" / "one")


@pytest.mark.parametrize(
    "line",
    [
        "                                   vocab_size=1024, temperature=0.8, batch_size=8, seed=42):",
        "        seed = 0",
        "    seed=0",
        "random_map:replaced 68 layers with RandomMap (rank=32, seed=42)",
        "hadamard: signs drawn, seed=7)",
        "    rng = np.random.default_rng(seed=7)",
    ],
)
def test_the_seed_of_code_or_of_a_component_is_not_that_of_the_run(line: str) -> None:
    assert logged_seed(line) is None or CODE_LINE.search(line) is not None


@pytest.mark.parametrize(
    "line", ["seed:11", "seed = 11", "Seed: 11, Steps: 7000", "  seed: 11", "world_size:8 seed:11"]
)
def test_the_seed_of_a_setting_is_that_of_the_run(line: str) -> None:
    assert logged_seed(line) == 11


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("train_seed42.log", 42),
        ("11_seed_log_1.txt", 11),
        ("run-s1337.log", 1337),
        ("s1_A.log", None),
        ("stage-s2.log", None),
        ("2_seeded_runs.log", None),
        ("log_7.txt", 7),
    ],
)
def test_the_seed_in_the_name_of_a_log(name: str, seed: int | None) -> None:
    assert LoggedRun(name, 1).named_seed == seed


@pytest.mark.parametrize(
    ("parent", "track", "is_timed"),
    [
        ("track_non_record_16mb", None, False),
        ("track_non_record_16mb", "non-record-16mb", False),
        ("track_10min_16mb", "non_record_16mb", False),
        ("track_10min_16mb", "Unlimited compute", False),
        ("track_non_record_16mb", "10min_16mb", False),
        ("track_10min_16mb", None, True),
        ("records", None, True),
        ("records", "a new record", True),
    ],
)
def test_the_clock_holds_on_the_timed_track_only(
    tmp_path: Path, parent: str, track: str | None, is_timed: bool
) -> None:
    """Wherever one of them says non-record, it does not hold: reviewers move folders without changing their files."""
    folder = tmp_path / parent / "neutral"
    folder.mkdir(parents=True)
    for seed, bpb in SCORES.items():
        (folder / f"train_seed{seed}.log").write_text("\n".join(log_of(seed, bpb, train_ms=10_800_200)))
    (folder / "submission.json").write_text(json.dumps({} if track is None else {"track": track}))
    (group,) = record_groups(folder, RULES)
    assert ("over_time" in {found.rule for found in group.problems()}) == is_timed
