"""Reading logs in the three public dialects, and folders of them."""

import gzip
from pathlib import Path

import pytest

from pgolf.records.folder import is_record, log_files, read_record
from pgolf.records.groups import record_groups
from pgolf.records.logs import runs_in
from pgolf.rulesets.ruleset import load_ruleset
from trainer.dialects.headline import headline_kind
from trainer.dialects.plain import TooLong

RULES = load_ruleset("parameter_golf")
BASELINE = """\
val_bpb:enabled tokenizer_kind=sentencepiece tokenizer_path=./fineweb_1024_bpe.model
val_loader:shards pattern=./fineweb_val_*.bin tokens:62021632
model_params:17059912
world_size:8 grad_accum_steps:1
train_batch_tokens:524288 max_wallclock_seconds:600.000
seed:{seed}
step:200/20000 train_loss:2.3000 train_time:8700ms step_avg:43.50ms
step:13780/20000 val_loss:2.0606 val_bpb:1.2172 train_time:600038ms step_avg:43.54ms
stopping_early: wallclock_cap train_time:600038ms step:13780/20000
Serialized model: 67224983 bytes
Code size: 47642 bytes
Total submission size: 67272625 bytes
Serialized model int8+zlib: 15815847 bytes (payload:1 raw_torch:2 payload_ratio:3.91x)
Total submission size int8+zlib: 15863489 bytes
final_int8_zlib_roundtrip val_loss:2.0727 val_bpb:{bpb:.4f} eval_time:1401ms
final_int8_zlib_roundtrip_exact val_loss:{loss:.8f} val_bpb:{bpb:.8f}
"""
MINUTES = """\
Hyperparameters:
  matrix_lr: 0.02
  seed: {seed}
  world_size: 8
val_tokens: 40540160
model_params:35944536
500/20000 train_loss: 3.0229 train_time: 0.8m tok/s: 7991951
stopping_early: wallclock_cap train_time: 588016ms step: 5182/20000
pre-quantization post-ema val_loss:2.80000000 val_bpb:1.08400000 eval_time:7438ms
Code size: 16594 bytes
Serialized model quantized+brotli: 15976325 bytes
Total submission size quantized+brotli: 15992919 bytes
quantized val_loss:2.84000000 val_bpb:1.09940000 eval_time:25390ms
quantized_sliding_window val_loss:{loss:.8f} val_bpb:{bpb:.8f} eval_time:121183ms
"""
OWN = """\
Seed: {seed}, Steps: 7000
World size: 8, Grad accum: 1
Validation tokens: 40,540,160
Total params: 33,909,825
step   100/7000 | loss 5.0926 | lr_mul 1.0000 | 154s
Stopping early at step 1652 (wallclock limit)
Training complete in 600s
Artifact: 15,762,406 bytes (15.03 MB)
final_int6_roundtrip_exact val_loss:{loss:.8f} val_bpb:{bpb:.8f}
"""
DIALECTS = {"baseline": (BASELINE, 2.4360), "minutes": (MINUTES, 3.7266), "own": (OWN, 3.7266)}


def log_of(dialect: str, seed: int, bpb: float) -> str:
    """Return a log whose loss and bits per byte imply the dialect's bytes per token."""
    text, bytes_a_token = DIALECTS[dialect]
    return text.format(seed=seed, bpb=bpb, loss=bpb * 0.6931471805599453 * bytes_a_token)


def write(folder: Path, dialect: str, scores: dict[int, float]) -> Path:
    for seed, bpb in scores.items():
        (folder / f"train_seed{seed}.log").write_text(log_of(dialect, seed, bpb))
    (folder / "submission.json").write_text("{}")
    return folder


def rules_of(folder: Path) -> set[str]:
    return {found.rule for group in record_groups(folder, RULES) for found in group.problems()}


@pytest.mark.parametrize(
    ("dialect", "label", "total", "step", "seconds"),
    [
        ("baseline", "final_int8_zlib_roundtrip_exact", 15_863_489, 13_780, 600.038),
        ("minutes", "quantized_sliding_window", 15_992_919, 5_182, 588.016),
        ("own", "final_int6_roundtrip_exact", 15_762_406, 1_652, 600.0),
    ],
)
def test_each_dialect_gives_its_numbers(
    tmp_path: Path, dialect: str, label: str, total: int, step: int, seconds: float
) -> None:
    (group,) = record_groups(write(tmp_path, dialect, {42: 1.08, 7: 1.07, 1: 1.09}), RULES)
    found = group.as_json()
    assert (found["n"], found["metric"], found["max_total_bytes"]) == (3, label, total)
    assert found["mean"] == pytest.approx(1.08, abs=1e-12)
    assert found["std"] == pytest.approx(0.01, abs=1e-12)
    assert {(seed["seed"], seed["steps"], seed["train_seconds"]) for seed in found["seeds"]} == {
        (each, step, seconds) for each in (42, 7, 1)
    }


def test_seconds_are_taken_from_another_line_of_the_same_evaluation(tmp_path: Path) -> None:
    """The baseline prints seconds on the line with four decimals, not on the exact line after it."""
    (group,) = record_groups(write(tmp_path, "baseline", {1: 1.21, 2: 1.22}), RULES)
    assert [row.evaluate_seconds for row in group.rows] == [1.401, 1.401]


def test_encoding_compression_and_terminal_escapes_change_nothing(tmp_path: Path) -> None:
    text = log_of("baseline", 42, 1.2)
    (tmp_path / "a.log").write_bytes(text.encode("utf-16"))
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "c.log").write_text("\x1b[31m" + text.replace("\n", "\x1b[0m\n"))
    found = [runs_in(tmp_path / name, tmp_path) for name in ("a.log", "b.log.gz", "c.log")]
    assert [is_utf16 for _, is_utf16, _ in found] == [True, False, False]
    assert len({runs[0].identity for runs, _, _ in found}) == 1
    assert rules_of(tmp_path) >= {"utf16_log", "duplicate_log", "single_seed"}


def test_source_code_at_the_start_of_a_log_is_ignored(tmp_path: Path) -> None:
    source = 'class Args:\n    seed = int(os.environ.get("SEED", 1337))\n'
    source += 'log0(f"seed:{args.seed} val_loss:{v} val_bpb:{b}")\n'
    (tmp_path / "train.log").write_text(source + log_of("baseline", 42, 1.2))
    ((run,), _, _) = runs_in(tmp_path / "train.log", tmp_path)
    assert (run.seed, run.scores[-1].val_bpb) == (42, 1.2)


def test_a_file_may_hold_several_runs_or_one_run_twice(tmp_path: Path) -> None:
    both = log_of("baseline", 1, 1.21) + log_of("baseline", 2, 1.22)
    (tmp_path / "all.log").write_text(both)
    (tmp_path / "seed3.log").write_text(log_of("baseline", 3, 1.23) * 2)
    (group,) = record_groups(tmp_path, RULES)
    assert sorted(row.seed for row in group.rows) == [1, 2, 3]
    assert {"multi_seed_in_one_log", "run_printed_twice_in_one_log"} <= rules_of(tmp_path)


def test_runs_that_must_not_be_averaged_are_separated(tmp_path: Path) -> None:
    write(tmp_path, "baseline", {1: 1.21, 2: 1.22, 3: 1.23})
    longer = log_of("baseline", 1, 1.10).replace("max_wallclock_seconds:600.000", "max_wallclock_seconds:14400.000")
    (tmp_path / "train_seed1_4h.log").write_text(longer)
    wider = log_of("baseline", 2, 1.15).replace("model_params:17059912", "model_params:38346836")
    (tmp_path / "train_seed2_wide.log").write_text(wider)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "train_seed1.log").write_text(log_of("baseline", 1, 1.25))
    groups = record_groups(tmp_path, RULES)
    assert [len(group.rows) for group in groups] == [3, 1, 1, 1]
    assert groups[0].spread is not None
    assert groups[0].spread.mean == pytest.approx(1.22)
    rules = rules_of(tmp_path)
    assert {"two_models_in_one_folder", "two_run_lengths_in_one_folder", "two_log_sets_same_seeds"} <= rules


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("max_wallclock_seconds:600.000", "max_wallclock_seconds:14400.000"),
        ("model_params:17059912", "model_params:38346836"),
        ("tokens:62021632", "tokens:60000000"),
    ],
    ids=["a longer run", "a larger model", "another text"],
)
def test_a_further_seed_of_another_experiment_is_not_averaged(tmp_path: Path, before: str, after: str) -> None:
    write(tmp_path, "baseline", {1: 1.21, 2: 1.22, 3: 1.23})
    (tmp_path / "train_seed4.log").write_text(log_of("baseline", 4, 1.10).replace(before, after))
    groups = record_groups(tmp_path, RULES)
    assert [[row.seed for row in group.rows] for group in groups] == [[1, 2, 3], [4]]


@pytest.mark.parametrize(("seconds", "is_late"), [(599.0, False), (700.0, True)])
def test_the_time_of_all_evaluations_counts_where_the_log_gives_it(
    tmp_path: Path, seconds: float, is_late: bool
) -> None:
    write(tmp_path, "minutes", {1: 1.08, 2: 1.07, 3: 1.09})
    with (tmp_path / "train_seed2.log").open("a") as log:
        log.write(f"total_eval_time:{seconds}s\n")
    (group,) = record_groups(tmp_path, RULES)
    assert [row.evaluate_seconds for row in group.rows] == [121.183, seconds, 121.183]
    assert ("eval_over_time" in rules_of(tmp_path)) is is_late


def test_a_run_without_a_stop_is_timed_by_its_last_step(tmp_path: Path) -> None:
    write(tmp_path, "minutes", {1: 1.08})
    path = tmp_path / "train_seed1.log"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "stopping_early" not in line))
    (group,) = record_groups(tmp_path, RULES)
    assert group.rows[0].run.train_seconds == pytest.approx(0.8 * 60)
    assert "minutes_format" in rules_of(tmp_path)


def test_the_last_labelled_total_and_the_packed_code_count_of_the_largest_artifact(tmp_path: Path) -> None:
    for seed, total in ((1, 15_990_000), (2, 15_995_000), (3, 15_980_000)):
        text = log_of("minutes", seed, 1.08).replace("15992919 bytes", f"{total} bytes")
        lines = ["Total submission size int8+zlib: 14000000 bytes", *text.splitlines()]
        place = next(number for number, line in enumerate(lines) if line.startswith("Code size:"))
        lines[place] = "Code size compressed: 16594 bytes"
        lines.insert(place + 1, "Code size uncompressed: 61044 bytes")
        (tmp_path / f"train_seed{seed}.log").write_text("\n".join(lines))
    (group,) = record_groups(tmp_path, RULES)
    assert group.max_total_bytes == 15_995_000
    assert {row.code_bytes for row in group.rows} == {16_594}
    assert "labelled_total_is_not_the_artifact" in rules_of(tmp_path)


def test_the_headline_is_an_evaluation_that_all_seeds_have(tmp_path: Path) -> None:
    """Only the third log ends with a further evaluation, which must not enter the mean."""
    for seed, extra in ((1, ""), (2, ""), (3, "final_ttt_T0.98_exact val_loss:2.0000 val_bpb:1.17000000\n")):
        shared = "ttt:done val_loss=2.060000 val_bpb=1.200000 elapsed=300.0s\n"
        (tmp_path / f"seed{seed}.log").write_text(log_of("baseline", seed, 1.22) + shared + extra)
    runs = read_record(tmp_path).runs
    assert headline_kind(runs) == "ttt:done"
    assert "mixed_metrics_on_last_line" in rules_of(tmp_path)


@pytest.mark.parametrize(
    ("submission", "rule"),
    [
        ('{"val_bpb": 1.21}', "best_seed_headline"),
        ('{"val_bpb": 1.22, "val_bpb_std": 0.00816}', "population_std"),
        ('{"val_bpb": 1.22, "seeds": [1, 2, 3, 4]}', "missing_seed_log"),
        ('{"val_bpb": 1.22, "seeds": [1, 2]}', "seeds_claimed_incomplete"),
        ('{"val_bpb": 1.22, "seed_results": {"1": {"val_bpb": 1.2034}}}', "claim_not_in_logs"),
        ('{"val_bpb": 1.19}', "wrong_mean"),
        ('{"val_bpb": 1.22, "bytes_total": 15012345}', "claimed_bytes_not_in_logs"),
        ('{"val_bpb": 1.22,', "broken_submission_json"),
        ("[" * 100_000, "broken_submission_json"),
    ],
)
def test_a_claim_that_the_logs_do_not_support_is_reported(tmp_path: Path, submission: str, rule: str) -> None:
    write(tmp_path, "baseline", {1: 1.21, 2: 1.22, 3: 1.23})
    (tmp_path / "submission.json").write_text(submission)
    assert rule in rules_of(tmp_path)


def test_correct_claims_in_every_dialect_add_no_problem(tmp_path: Path) -> None:
    write(tmp_path, "baseline", {1: 1.21, 2: 1.22, 3: 1.23})
    expected = rules_of(tmp_path)
    for submission in (
        '{"val_bpb": 1.22, "bytes_total": 15863489, "bytes_code": 47642}',
        '{"val_bpb": 1.22, "seeds": [1, 2, 3], "seed_results": {"1": {"val_bpb": 1.21, "artifact_bytes": 15863489}}}',
        '{"mean_val_bpb": "1.22", "seeds": {"1": {"val_bpb": 1.21}, "2": 1.22, "3": {"val_bpb": 1.23}}}',
        '{"val_bpb": 1.22, "seed_results": [{"seed": 1, "val_bpb": 1.21}, {"seed": 2}, {"seed": 3}]}',
    ):
        (tmp_path / "submission.json").write_text(submission)
        assert rules_of(tmp_path) == expected, submission


def test_a_wrong_byte_count_is_reported(tmp_path: Path) -> None:
    write(tmp_path, "baseline", {1: 1.21})
    text = (tmp_path / "train_seed1.log").read_text()
    (tmp_path / "train_seed1.log").write_text(text.replace("tokens:62021632", "tokens:40540160"))
    assert "bytes_per_token_implausible" in rules_of(tmp_path)
    (tmp_path / "train_seed1.log").write_text(text.replace("tokens:62021632", "tokens:2097152"))
    assert "validation_subset" in rules_of(tmp_path)


def test_hostile_folders_are_read_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "record"
    record.mkdir()
    (tmp_path / "secret.log").write_text(log_of("baseline", 1, 1.0))
    (record / "out.log").symlink_to(tmp_path / "secret.log")
    (record / "bomb.log.gz").write_bytes(gzip.compress(b"a" * 3_000_000))
    (record / "cut.log.gz").write_bytes(gzip.compress(b"b" * 1000)[:20])
    (record / "line.log").write_text("val_loss:" * 1_000_000)
    (record / "submission.json").write_text(
        '{"name": "<script>alert(1)</script>", "seeds": {"__proto__": 1, "1e99": 2}}'
    )
    monkeypatch.setattr("pgolf.records.containers.MAX_BYTES", 1_000_000)
    assert is_record(record)
    assert "out.log" not in [path.name for path in log_files(record)]
    found = read_record(record)
    assert {"bomb.log.gz", "cut.log.gz", "line.log"} <= {*found.unreadable}
    assert {"unreadable_log", "no_log"} <= rules_of(record)
    with pytest.raises(TooLong):
        runs_in(record / "bomb.log.gz", record)
