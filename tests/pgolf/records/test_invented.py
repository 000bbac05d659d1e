"""Invented folders in the forms that public ones have: the answer is known, and nobody is accused."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pgolf.audit.folder import audit_folder
from pgolf.records.groups import record_groups
from pgolf.records.rows import RecordGroup
from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")
BPB = {42: 1.11923456, 1337: 1.11988321, 2025: 1.12002718}
MEAN = round(sum(BPB.values()) / 3, 8)
NATS = 1.6884883
MODEL, CODE = 15_850_000, 89_458
TOTAL = MODEL + CODE
RESULTS = {str(seed): {"val_bpb": bpb} for seed, bpb in BPB.items()}
TRACK = {"track": "track_10min_16mb"}


def log(seed: int, bpb: float, *, after: str = "", size: str | None = None, before: str = "", head: str = "") -> str:
    """Return a log; in the lines after the last score, {bpb}, {loss} and {worse} stand for numbers."""
    numbers = {"bpb": f"{bpb:.8f}", "loss": f"{bpb * NATS:.8f}", "worse": f"{bpb + 0.02:.8f}", "seed": seed}
    total = f"Total submission size int6+lzma: {TOTAL} bytes" if size is None else size
    return "\n".join(
        [
            f"{head or f'seed:{seed}'}",
            f"{before}model_params:26928220",
            "val_loader:shards pattern=fineweb_val_*.bin tokens:62021632",
            "world_size:8 max_wallclock_seconds:600.000",
            f"step:1000/9000 train_loss:{2 + seed / 1e5:.4f} train_time:83600ms",
            "stopping_early: wallclock_cap train_time:600050ms step:7179/9000",
            f"Serialized model int6+lzma: {MODEL} bytes",
            total,
            f"final_int6_sliding_window val_loss:{bpb * NATS:.4f} val_bpb:{bpb:.4f} eval_time:5000ms",
            f"final_int6_sliding_window_exact val_loss:{bpb * NATS:.8f} val_bpb:{bpb:.8f}",
            *([after.format(**numbers)] if after else []),
            "",
        ]
    )


def logs(**parts: str) -> dict[str, str]:
    return {f"train_seed{seed}.log": log(seed, bpb, **parts) for seed, bpb in BPB.items()}


def lead(folder: Path, files: Mapping[str, str | bytes], claims: dict[str, Any] | None) -> RecordGroup:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    if claims is not None:
        (folder / "submission.json").write_text(json.dumps(TRACK | claims))
    return record_groups(folder, RULES)[0]


def assert_right(group: RecordGroup, folder: Path) -> None:
    """Check mean, seeds and bytes, and that neither report nor audit accuses the folder."""
    assert group.spread is not None
    assert group.spread.mean == pytest.approx(MEAN, abs=2e-8)
    assert (group.spread.n, group.max_total_bytes) == (3, TOTAL)
    assert_unaccused(group, folder)


def assert_unaccused(group: RecordGroup, folder: Path) -> None:
    assert [found for found in group.problems() if found.severity == "fail"] == []
    assert [found for found in audit_folder(folder, RULES, is_code_read=False) if found.severity == "fail"] == []


@pytest.mark.parametrize(
    "line",
    [
        "ppm_bpb: 2.0711", "lift_bpb: 0.0031", "bpb drop: 0.0031", "shard 0 val_bpb: 1.1290", "rank 3 bpb: 1.1210",
        "bucket 0-512 bpb: 1.2100", "headroom bpb: 0.0050", "bigram bpb: 3.2100", "naive bpb 1.2244",
        "PR1019 val_bpb: 1.1147",
        "ttt benefit bpb: 0.0031", "without TTT: val_bpb={worse}", "estimated final val_bpb: 1.1100",
        "zlib bpb: 3.21",
        "ttt_initial_bpb: 1.1312", "(for comparison) int8 val_loss:1.9 val_bpb:{worse}", "best_val_bpb: {worse}",
        "subset val_loss:1.9 val_bpb:{worse}", "cumulative_bpb: 1.1300", "random init bpb: 4.1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("claims", [None, {"val_bpb": round(MEAN, 4)}], ids=["no claims", "a rounded claim"])
def test_another_number_after_the_result_does_not_lead(
    tmp_path: Path, line: str, claims: dict[str, Any] | None
) -> None:
    assert_right(lead(tmp_path, logs(after=line), claims), tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "legal_ttt loss {loss} bpb {bpb}", "VAL_BPB: {bpb}", ">>> FINAL RESULT: {bpb} bpb", "FINAL BPB → {bpb}",
        "chunked ttt done: val_bpb={bpb}", "FINAL (ttt_epochs=3): bpb={bpb}", "Final BPB across 8 ranks: {bpb}",
        'RESULT {{"val_bpb": {bpb}, "seed": {seed}, "name": "x"}}', '{{"final_val_bpb": {bpb}}}', "bits/byte `{bpb}`",
        "[4{seed}.3s] ttt done val_loss:{loss} val_bpb:{bpb}", "run_{seed}_final val_loss:{loss} val_bpb:{bpb}",
        "float8_ttt_final val_loss:{loss} val_bpb:{bpb}",
    ],
)  # fmt: skip
def test_a_claim_names_a_line_in_words_of_its_own(tmp_path: Path, line: str) -> None:
    """The score before it is 0.01 worse, and the claim has four decimals."""
    files = {
        f"train_seed{seed}.log": log(seed, bpb + 0.01)
        + line.format(bpb=f"{bpb:.8f}", loss=f"{bpb * NATS:.8f}", seed=seed)
        + "\n"
        for seed, bpb in BPB.items()
    }
    assert_right(lead(tmp_path, files, {"val_bpb": round(MEAN, 4)}), tmp_path)


def test_without_a_claim_such_a_line_is_a_candidate(tmp_path: Path) -> None:
    files = {f"train_seed{seed}.log": log(seed, bpb + 0.01) + f"VAL_BPB: {bpb:.8f}\n" for seed, bpb in BPB.items()}
    group = lead(tmp_path, files, None)
    assert [each.value for each in group.ambiguous] == pytest.approx([MEAN + 0.01, MEAN], abs=2e-8)


@pytest.mark.parametrize(
    "claims",
    [
        {"seed_train_tokens": {"42": 5.6, "1337": 5.7, "2025": 5.6}}, {"seed_gpu_hours": {"42": 1.4}},
        {"seed_pvalues": {"42": 0.01}}, {"seed_ttt_gain": {"42": 0.0101}}, {"bytes_total": 15},
        {"bytes_total": 15_900_000},
        {"seed_results": RESULTS, "previous_seed_results": {"42": {"val_bpb": 1.13}}},
        {"baseline_seed_results": {"42": {"val_bpb": 1.2244}}}, {"seeds": [*BPB], "val_bpb_std": 0.000421},
    ],
)  # fmt: skip
def test_a_number_of_another_kind_is_no_claim(tmp_path: Path, claims: dict[str, Any]) -> None:
    group = lead(tmp_path, logs(), {"val_bpb": MEAN} | claims)
    assert_right(group, tmp_path)
    assert not {"claimed_bytes_not_in_logs", "wrong_std"} & {found.rule for found in group.problems()}


ROWS = "".join(f"| {seed} | {bpb:.4f} | {{}} |\n" for seed, bpb in BPB.items())


@pytest.mark.parametrize(
    "readme",
    [
        "| Seed | val_bpb | BPB vs SOTA |\n|---|---|---|\n" + ROWS.format(*["0.0041"] * 3),
        "| Seed | This PR val_bpb | PR #1019 val_bpb |\n|---|---|---|\n" + ROWS.format("1.1232", "1.1238", "1.1241"),
        "| Seed | TTT bpb | Sliding bpb |\n|---|---|---|\n" + ROWS.format("1.1222", "1.1229", "1.1230"),
        "## Baseline reproduction\n| Seed | bpb |\n|---|---|\n| 42 | 1.1300 |\n| 1337 | 1.1310 |\n| 2025 | 1.1320 |\n",
        "## Earlier version\n| Seed | bpb |\n|---|---|\n| 7 | 1.1300 |\n| 8 | 1.1310 |\n| 9 | 1.1320 |\n",
        "| Seeds | Config | val_bpb |\n|---|---|---|\n| 3 | full | 1.1197 |\n| 1 | no ema | 1.1300 |\n",
        "| Seed | val_bpb |\n|---|---|\n| 42 (best) | 1.1192 |\n| 1337 | 1.1199 |\n| 2025 | 1.1200 |\n",
    ],
)
def test_a_table_of_the_readme_accuses_nobody(tmp_path: Path, readme: str) -> None:
    group = lead(tmp_path, logs() | {"README.md": f"# Thing\n\n{readme}"}, {"val_bpb": round(MEAN, 4)})
    assert_right(group, tmp_path)
    assert not {"missing_seed_log", "seeds_claimed_incomplete"} & {found.rule for found in group.problems()}


@pytest.mark.parametrize(
    "size",
    [
        f"Total size: {TOTAL} / 16000000 bytes", f"size_check total={TOTAL} limit=16000000 headroom=60542",
        f"artifact_bytes: {TOTAL} (limit 16000000)", f"final artifact: {TOTAL} B",
        f"Total (model+code): {TOTAL:,} bytes",
        f"TOTAL: {TOTAL} bytes (model {MODEL} + code {CODE})", f"submission total: {TOTAL} bytes",
        f"Artifact size (int6+zstd+code): {TOTAL} bytes, headroom: 60542 bytes",
        f"[size] int6+lzma 15.940MB total={TOTAL} ok",
        f"Total submission size int6: {TOTAL} bytes\nTotal submission size int8 (for reference): 17200000 bytes",
        f"Total submission size int6+lzma: 16123456 bytes\npruned 2%\nfinal total after prune: {TOTAL} bytes",
    ],
)  # fmt: skip
def test_a_size_in_other_words_is_read(tmp_path: Path, size: str) -> None:
    assert_right(lead(tmp_path, logs(size=size), {"val_bpb": MEAN}), tmp_path)


def test_a_later_size_in_unknown_words_leaves_the_one_over_the_limit_open(tmp_path: Path) -> None:
    size = f"Total submission size int6+lzma: 16123456 bytes\nselective_prune: {TOTAL} bytes after"
    group = lead(tmp_path, logs(size=size), {"val_bpb": MEAN})
    (found,) = [each for each in group.rows[0].problems() if each.rule == "over_cap"]
    assert (found.severity, f"{TOTAL:,}" in found.message, group.is_over_limit) == ("warn", True, False)
    assert_unaccused(group, tmp_path)


@pytest.mark.parametrize(
    "lines",
    [
        {"before": "data seed: 7\n"}, {"before": "calibration: AR self-gen, 64 seqs, seed=7\n"},
        {"before": "-    seed: 1\n"},
        {"before": "parallel residuals from L4 to L10\n"}, {"before": "note: bf16 requires A100 or newer\n"},
        {"after": "val_tokens: 1048576 (proxy eval)"}, {"head": "seed:1337"},
    ],
)  # fmt: skip
def test_a_seed_a_gpu_or_tokens_of_something_else_do_not_count(tmp_path: Path, lines: dict[str, str]) -> None:
    """In the last one all logs print a default seed, and their names count."""
    group = lead(tmp_path, logs(**lines), {"val_bpb": MEAN, "seed_results": RESULTS})
    assert_right(group, tmp_path)
    assert "hardware_not_8xH100" not in {found.rule for found in group.problems()}


NAMES = {
    "without an ending": "train_seed{}", "stderr": "train_seed{}.err", "gzip": "train_seed{}.gz", "upper": "SEED{}.LOG",
    "stride in the name": "train_s64_seed{}.log", "folders": "seed{}/train.log", "number": "run{}.log",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_logs_of_other_names_are_found(tmp_path: Path, name: str) -> None:
    texts = {name.format(seed): log(seed, bpb).encode() for seed, bpb in BPB.items()}
    files = {path: gzip.compress(text) if path.endswith(".gz") else text for path, text in texts.items()}
    assert_right(lead(tmp_path, files, {"val_bpb": MEAN}), tmp_path)


def test_json_results_count_where_no_log_has_a_score(tmp_path: Path) -> None:
    files = {
        f"results_seed{seed}.json": json.dumps({"seed": seed, "val_bpb": bpb, "total_bytes": TOTAL}, indent=1)
        for seed, bpb in BPB.items()
    }
    assert_right(lead(tmp_path, files, {"val_bpb": MEAN}), tmp_path)


def test_a_summary_of_several_seeds_has_a_run_of_each(tmp_path: Path) -> None:
    text = "".join(f"seed {seed}: val_bpb={bpb:.8f} bytes={TOTAL}\n" for seed, bpb in BPB.items())
    group = lead(tmp_path, {"summary.log": text}, {"val_bpb": MEAN, "seeds": [*BPB]})
    assert group.spread is not None
    assert group.spread.n == 3
    assert group.spread.mean == pytest.approx(MEAN, abs=2e-8)
    assert_unaccused(group, tmp_path)


@pytest.mark.parametrize("claims", [{"val_bpb": MEAN, "seed_results": RESULTS}, {"val_bpb": MEAN}, {"val_bpb": 1.1197}])
@pytest.mark.parametrize(
    "beside",
    [
        {"logs/prev_sota_seed1.log": 1.128, "logs/prev_sota_seed2.log": 1.129}, {"no_ema_seed7.log": 1.131},
        {"ablations/no_ema_seed1.log": 1.13, "ablations/relu_seed2.log": 1.14}, {"smoke_seed0.log": 3.4},
        {"previous/seed42.txt": 1.14, "previous/seed1337.txt": 1.141, "previous/seed2025.txt": 1.142},
    ],
)  # fmt: skip
def test_logs_of_other_work_are_not_averaged(tmp_path: Path, beside: dict[str, float], claims: dict[str, Any]) -> None:
    others = {name: log(number, bpb) for number, (name, bpb) in enumerate(beside.items(), start=1)}
    assert_right(lead(tmp_path, logs() | others, claims), tmp_path)


def test_a_score_copied_from_another_seed_is_found(tmp_path: Path) -> None:
    claimed = RESULTS | {"2025": {"val_bpb": BPB[42]}}
    group = lead(tmp_path, logs(), {"val_bpb": MEAN, "seed_results": claimed})
    assert ("claim_not_in_logs", "fail") in {(found.rule, found.severity) for found in group.problems()}


def test_an_evaluation_belongs_to_the_training_of_its_folder(tmp_path: Path) -> None:
    files = {}
    for number, (seed, bpb) in enumerate(BPB.items(), start=1):
        files[f"run{number}/train.log"] = log(seed, bpb + 0.01)
        files[f"run{number}/ttt.log"] = f"legal_ttt_exact val_loss:{bpb * NATS:.8f} val_bpb:{bpb:.8f}\n"
    group = lead(tmp_path, files, {"val_bpb": MEAN})
    assert_right(group, tmp_path)
    assert "no_common_metric" not in {found.rule for found in group.problems()}


@pytest.mark.parametrize("number", ["oracle_bpb: {better}", "train_bpb: {better}", "[1/1893] running bpb={better}"])
def test_a_claim_does_not_make_every_number_a_result(tmp_path: Path, number: str) -> None:
    """A number that no evaluation gives does not lead because the headline is its mean."""
    files = {
        f"train_seed{seed}.log": log(seed, bpb) + number.format(better=f"{bpb - 0.02:.6f}") + "\n"
        for seed, bpb in BPB.items()
    }
    claims = {"val_bpb": round(MEAN - 0.02, 6), "seed_results": {str(s): {"val_bpb": b - 0.02} for s, b in BPB.items()}}
    group = lead(tmp_path, files, claims)
    assert group.spread is not None
    assert group.spread.mean == pytest.approx(MEAN, abs=2e-8)
    assert {"claim_not_in_logs", "wrong_mean"} & {found.rule for found in group.problems()}


def test_a_lead_that_only_the_claim_names_says_so(tmp_path: Path) -> None:
    files = {
        f"train_seed{seed}.log": log(seed, bpb + 0.01) + f">>> RESULT: {bpb:.8f} bpb\n" for seed, bpb in BPB.items()
    }
    group = lead(tmp_path, files, {"val_bpb": MEAN})
    (found,) = [each for each in group.problems() if each.rule == "claim_names_another_line"]
    assert found.severity == "warn"
    assert f"{MEAN:.8f}" in found.message and f"{MEAN + 0.01:.8f}" in found.message


def test_scores_before_packing_support_no_headline(tmp_path: Path) -> None:
    files = {
        f"train_seed{seed}.log": log(seed, bpb, before=f"DIAGNOSTIC post_ema val_loss:1.9 val_bpb:{bpb - 0.005:.8f}\n")
        for seed, bpb in BPB.items()
    }
    group = lead(tmp_path, files, {"val_bpb": round(MEAN - 0.005, 8), "seeds": [*BPB]})
    assert "wrong_mean" in {found.rule for found in group.problems()}


@pytest.mark.parametrize(
    "name", ["20260324_seed{}.log", "0324_seed{}.log", "slurm-991337_seed{}.out", "seed-{}/log.txt"]
)
@pytest.mark.parametrize("head", ["", "seed:1337", " "], ids=["printed", "default", "none"])
def test_the_number_after_the_word_is_the_seed(tmp_path: Path, name: str, head: str) -> None:
    files = {name.format(seed): log(seed, bpb, head=head) for seed, bpb in BPB.items()}
    assert_right(lead(tmp_path, files, {"val_bpb": MEAN, "seeds": [*BPB]}), tmp_path)


def test_a_seed_that_the_claim_leaves_out_is_named(tmp_path: Path) -> None:
    group = lead(tmp_path, logs() | {"train_seed7.log": log(7, 1.1232)}, {"val_bpb": MEAN, "seed_results": RESULTS})
    assert_right(group, tmp_path)
    rules = {found.rule for found in group.problems()}
    assert "seeds_claimed_incomplete" in rules
    assert "two_log_sets_same_seeds" not in rules


def test_the_headline_outweighs_a_table_of_another_evaluation(tmp_path: Path) -> None:
    files = {
        f"train_seed{seed}.log": log(seed, bpb + 0.01) + f"legal_ttt_exact val_loss:1.9 val_bpb:{bpb:.8f}\n"
        for seed, bpb in BPB.items()
    }
    rows = "".join(f"| {seed} | {bpb + 0.01:.4f} |\n" for seed, bpb in BPB.items())
    readme = f"# Thing: val_bpb {MEAN:.4f}\n\n| Seed | Sliding BPB |\n|---|---|\n{rows}"
    assert_right(lead(tmp_path, files | {"README.md": readme}, {"val_bpb": MEAN}), tmp_path)


@pytest.mark.parametrize("default", [0, 1337])
def test_exact_claims_tell_logs_apart_that_print_one_default_seed(tmp_path: Path, default: int) -> None:
    files = {f"s{seed}/train.log": log(seed, bpb, head=f"seed:{default}") for seed, bpb in BPB.items()}
    assert_right(lead(tmp_path, files, {"val_bpb": MEAN, "seed_results": RESULTS}), tmp_path)
