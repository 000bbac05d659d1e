"""Scores, sizes and seeds of single log lines, against the numbers that the lines print."""

import pytest

from trainer.dialects.headline import evaluations, headline_kind, headline_of
from trainer.dialects.logged import LoggedRun
from trainer.dialects.runs import every_run, split_runs
from trainer.dialects.scores import scores_of
from trainer.dialects.settings import SEED_SPECIFIC
from trainer.dialects.sizes import size_of


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("final_ttt_exact val_bpb:1.12662548", [("final_ttt_exact", 1.12662548, 8, None)]),
        ("final sliding val_loss:2.0 sliding val_bpb:1.1969", [("final sliding", 1.1969, 4, 2.0)]),
        ("sw sliding_bpb:1.14775606 val_bpb:1.09", [("sw sliding_bpb", 1.14775606, 8, None), ("sw", 1.09, 2, None)]),
        ("ppm_mix bytes=27048621 mix_bpb=0.901534 nn_only=0.97", [("ppm_mix mix_bpb", 0.901534, 6, None)]),
        ("Quantized BPB (no XSA): 1.016200", [("Quantized", 1.0162, 6, None)]),
        ("sw val_loss:0.1951 val_bpb:0.1156 exact:0.11555061 stride:64", [("sw", 0.11555061, 8, 0.1951)]),
        ("val_bpb = 1.08", [("val_bpb", 1.08, 2, None)]),
        ("q_exact val_loss:1.8257e+00 val_bpb:9.812e-01", [("q_exact", 0.9812, 4, 1.8257)]),
        ("final_ttt_exact val_bpb:1.08120000e+00", [("final_ttt_exact", 1.0812, 8, None)]),
        ("final val_loss 1.9000 | val_bpb 1.0810", [("final", 1.081, 4, 1.9)]),
        ("sliding val_loss: 1.9000, val_bpb: 1.0810", [("sliding", 1.081, 4, 1.9)]),
        ("val_bpb                  1.070215", [("val_bpb", 1.070215, 6, None)]),
        ("Bits per byte: 1.0702", [("Bits per byte", 1.0702, 4, None)]),
        ("Final bpb 1.0810 (sliding)", [("Final", 1.081, 4, None)]),
        ("post-TTT bpb: 1.0702 (pre-TTT bpb: 1.0810)", [("post-TTT", 1.0702, 4, None)]),
        ("ngram_bpb:2.5 nn_bpb:1.08 mix_bpb:1.03", [("mix_bpb", 1.03, 2, None)]),
        ("final mix_bpb:1.03 nn_bpb:1.08", [("final mix_bpb", 1.03, 2, None)]),
        ("ttt_bpb: 1.0812 no_ttt_bpb: 1.0912", [("ttt_bpb", 1.0812, 4, None)]),
        ("int8 val_bpb: 1.0812 | fp32 val_bpb: 1.07", [("int8", 1.0812, 4, None), ("fp32", 1.07, 2, None)]),
    ],
)
def test_scores_of_a_line(line: str, expected: list[tuple[str, float, int, float | None]]) -> None:
    found = [(score.label, score.val_bpb, score.decimals, score.val_loss) for score in scores_of(line, 1)]
    assert found == expected


@pytest.mark.parametrize(
    "line",
    [
        "baseline 1.2244 bpb",
        "baseline bpb: 1.2244",
        "target bpb: 1.1",
        "improvement bpb: 0.01",
        "ttt_chunk [3/80] bpb=1.1021 time=2.0s",
        "prequant_ttt:epoch 3/20 val_bpb=1.0871 lr=0.01",
        "step:500/2000 val_bpb:1.2",
        'log0(f"val_bpb:1.08")',
        "baseline val_loss:2.0727 val_bpb:1.2244",
        "to beat: val_loss:1.9 val_bpb:1.0810",
        "previous best val_loss:1.9 val_bpb:1.0810",
        "best so far val_loss:1.9 val_bpb:1.0810",
        "leaderboard val_bpb: 1.0810",
        "published val_bpb: 1.0810",
        "3-seed mean val_bpb: 1.0702",
        "std val_bpb: 0.0004",
        "sliding val_bpb: 1.0702±0.0004",
        "sliding val_bpb: 1.0702 +/- 0.0004",
        "quantized val_bpb: 1.0810 -> 1.0702",
        "sliding val_bpb:1,0812",
        "val_bpb:1.08%",
        "unigram_bpb: 3.37",
        "lower bound bpb: 0.9",
        "Step 05000 | Validation bpb: 1.0810",
        "The new mixer brings val_bpb 1.0810 on this text",
    ],
)
def test_other_numbers_are_no_scores(line: str) -> None:
    assert scores_of(line, 1) == []


@pytest.mark.parametrize(
    ("line", "total", "model", "code"),
    [
        ("model:4873878 code:72802 total:4946680 (4.95 MB)", 4_946_680, 4_873_878, 72_802),
        ("code:72802 model:4873878 total:4946680", 4_946_680, 4_873_878, 72_802),
        ("INT7+zlib model: 15370972 bytes | Total submission: 15441941 bytes", 15_441_941, 15_370_972, 70_969),
        ("Total submission: 14707311 bytes", 14_707_311, None, None),
        ("Total neutral submission size: 15918257 bytes", 15_918_257, None, None),
        ("total submission size int8+zlib: 13924361 bytes", 13_924_361, None, None),
        ("Int6+zstd: 3531468 bytes  code: 59835 bytes  total: 3591303 bytes", 3_591_303, 3_531_468, 59_835),
        ("mixed+lzma-6: 15871736 bytes, total: 15988916 bytes", 15_988_916, 15_871_736, 117_180),
        ("artifact: 1,050 bytes (model=1,000 code=50 limit=16,000,000)", 1_050, 1_000, 50),
        ("artifact:15.92MB ternary:64880640(14237274B) fp:2513744(1611873B) code:70853", 15_920_000, None, 70_853),
        ("artifact:15.92MB ternary:64880640(14237274B) fp:2513744(2537376B) code:70853", 15_920_000, None, 70_853),
    ],
)
def test_sizes_of_a_line(line: str, total: int, model: int | None, code: int | None) -> None:
    size = size_of(line, 1)
    assert size is not None
    assert (size.total, size.code) == (total, code)
    assert model is None or size.model == model


@pytest.mark.parametrize(
    ("line", "total", "rounding"),
    [
        ("Total submission size: 15.18 MiB", 15_917_384, (5_243, 5_243)),
        ("Total submission size: 15546.9 KiB", 15_920_026, (51, 51)),
        ("Total submission size int8+zlib: 15,920 KB", 15_920_000, (500, 382_592)),
        ("Artifact size: 15.92 MB (limit 16.00 MB)", 15_920_000, (5_000, 778_573)),
        ("Total submission size: 0.0148 GiB", 15_891_379, (53_687, 53_687)),
        ("Artifact size: 15.92 MB (15,920,123 bytes)", 15_920_123, (0, 0)),
        ("Submission size: 15_920_123 bytes / 16,000,000", 15_920_123, (0, 0)),
        ("total_size_bytes: 15920123", 15_920_123, (0, 0)),
        ("model: 15,850,000 bytes + code: 70,123 bytes = 15,920,123 bytes", 15_920_123, (0, 0)),
        ("model_bytes:15850000 code_bytes:70123 total_bytes:15920123", 15_920_123, (0, 0)),
        ("Total submission size (cap 16000000): 15920123 bytes", 15_920_123, (0, 0)),
    ],
)
def test_a_size_in_larger_units_says_how_far_it_is_rounded(line: str, total: int, rounding: tuple[int, int]) -> None:
    """By hand: half of the last digit; above it also what lies between 10^6 and 2^20 bytes, both printed as MB."""
    size = size_of(line, 1)
    assert size is not None
    assert (size.total, size.rounding) == (total, rounding)


@pytest.mark.parametrize(
    "line",
    [
        "Total submission size limit: 16000000 bytes",
        "Total uncompressed submission size: 67274983 bytes",
        "Total submission size: 15 (MB)",
        "Total submission size: 1.592e7 bytes",
        "artifact cap: 16.00 MB",
    ],
)
def test_other_sizes_are_not_that_of_the_submission(line: str) -> None:
    assert size_of(line, 1) is None


def test_a_size_in_bytes_counts_before_a_rounded_one() -> None:
    (run,) = every_run(
        ["Total submission size: 15920123 bytes", "artifact: 15.92 MB", "Serialized model: 106917911 bytes"],
        "train.log",
    )
    assert run.size is not None
    assert run.size.total == 15_920_123


@pytest.mark.parametrize(
    ("file", "seed"), [("s1_A.log", None), ("seed42.log", 42), ("s1337.log", 1337), ("42_seed_log_1.txt", 42)]
)
def test_the_seed_in_a_name(file: str, seed: int | None) -> None:
    assert LoggedRun(file, 1).named_seed == seed


@pytest.mark.parametrize(
    ("line", "seed"),
    [
        ("        seed = 0", None),
        ("           temperature=0.8, batch_size=8, seed=42):", None),
        ("replaced 68 layers with RandomMap (rank=32, seed=42)", None),
        ("  seed: 42", 42),
        ("world_size:8 seed:42", 42),
        ("Seed: 42, Steps: 3500", 42),
    ],
)
def test_the_seed_in_a_line(line: str, seed: int | None) -> None:
    (run,) = split_runs([line, "quantized val_loss:2.0 val_bpb:1.1"], "train.log")
    assert run.seed == seed


@pytest.mark.parametrize("name", ["ttt_lora_rank", "lqer_rank", "ttt_update_every"])
def test_settings_with_a_private_word_inside(name: str) -> None:
    assert SEED_SPECIFIC.fullmatch(name) is None


@pytest.mark.parametrize("name", ["rank", "local_rank", "seed", "data_path", "datasets_dir", "run_id"])
def test_private_settings(name: str) -> None:
    assert SEED_SPECIFIC.fullmatch(name) is not None


def test_a_score_beside_a_seed_belongs_to_the_run_of_that_seed() -> None:
    summary = ["seed 42 val_bpb: 1.0702", "seed 7 val_bpb: 1.0711", "mean val_bpb: 1.07065"]
    for name, expected in (("train_seed7.log", [(7, [1.0711])]), ("summary.log", [(42, [1.0702]), (7, [1.0711])])):
        runs = split_runs(summary, name)
        assert [(run.seed, [score.val_bpb for score in run.scores]) for run in runs] == expected


def headline(*lines: str) -> tuple[str, float] | None:
    (run,) = split_runs(list(lines), "train.log")
    found = headline_of(run, headline_kind([run]))
    return None if found is None else (found.label, found.val_bpb)


def test_the_last_evaluation_of_a_label_counts() -> None:
    lines = [f"quantized_ttt val_loss:2.4 val_bpb:{bpb}" for bpb in ("1.10010001", "1.09960001")]
    assert headline(*lines) == ("quantized_ttt", 1.09960001)
    (run,) = split_runs(lines, "train.log")
    assert [each.best.val_bpb for each in evaluations(run)] == [1.10010001, 1.09960001]


def test_a_rounded_line_belongs_to_the_exact_line_of_its_label() -> None:
    lines = [
        "sw_exact val_loss:1.95899823 val_bpb:1.10092621",
        "sw_s64 val_loss:1.9589 val_bpb:1.1009 stride:64",
        "sw_s64_exact val_loss:1.95894579 val_bpb:1.10089760",
    ]
    assert headline(*lines) == ("sw_s64_exact", 1.1008976)
    (run,) = split_runs(lines, "train.log")
    assert [[line.line for line in each.scores] for each in evaluations(run)] == [[1], [2, 3]]


def test_a_validation_during_training_counts_only_without_an_evaluation() -> None:
    step = "step:7500/20000 val_loss:1.9902 val_bpb:1.1787 train_time:600033ms"
    assert headline(step) == ("last_step_validation", 1.1787)
    assert headline(step, "quantized val_loss:2.0 val_bpb:1.2") == ("quantized", 1.2)


def test_a_summary_does_not_replace_an_evaluation() -> None:
    assert headline("sw val_loss:1.9 val_bpb:1.13678077", "  int6_sw_bpb:   1.13541288") == ("sw", 1.13678077)


def test_the_last_total_counts_but_not_that_of_the_unpacked_model() -> None:
    unpacked = ["Serialized model: 106917911 bytes", "Total submission size: 107031395 bytes"]
    artifact = "artifact: 16,328,917 bytes (model=16,215,433 code=113,484)"
    (run,) = every_run([*unpacked, artifact, "Total submission size: 15876912 bytes"], "train.log")
    assert run.size is not None
    assert run.size.total == 15_876_912
    (run,) = every_run(["Serialized model: 106917911 bytes", artifact, unpacked[1]], "train.log")
    assert run.size is not None
    assert run.size.total == 16_328_917


def test_a_rounded_line_belongs_where_its_exact_line_does() -> None:
    """As in #576, whose seeds were scored with two strides; only the rounded line gives it."""
    lines = (
        "ttt:done val_loss=1.889920 val_bpb=1.119321 elapsed=528.0s",
        "final_ttt val_loss:1.8899 val_bpb:1.1193 stride:32 eval_time:528318ms",
        "final_ttt_exact val_loss:1.88992043 val_bpb:1.11932105",
    )
    (run,) = split_runs(list(lines), "train.log")
    assert [(len(each.scores), each.settings) for each in evaluations(run)] == [(3, "stride=32")]


@pytest.mark.parametrize("head", ["Seed: 7, Steps: 7000", "seed = 7", "step:200/7000 train_loss:3.1 train_time:900ms"])
def test_another_seed_or_an_earlier_step_after_a_score_begins_a_run(head: str) -> None:
    lines = ["Seed: 42, Steps: 7000", "step:6000/7000 train_loss:3.0 train_time:90000ms", "q val_loss:2.0 val_bpb:1.1"]
    runs = split_runs([*lines, head, "q val_loss:2.0 val_bpb:1.2"], "train.log")
    assert [[score.val_bpb for score in run.scores] for run in runs] == [[1.1], [1.2]]
    (run,) = split_runs([*lines, "RESULTS seed=42", "seed=42 done", "ttt val_loss:2.0 val_bpb:1.2"], "train.log")
    assert [score.val_bpb for score in run.scores] == [1.1, 1.2]


@pytest.mark.parametrize(
    "line", ["int8 val_bpb: 1.0812 | fp32 val_bpb: 1.0700", "bf16 val_bpb: 1.0700, int8 val_bpb: 1.0812"]
)
def test_a_score_of_floating_point_weights_is_before_packing(line: str) -> None:
    assert headline(line) == ("int8", 1.0812)
    assert headline("int6_fp16 val_loss:1.9 val_bpb:1.0812") == ("int6_fp16", 1.0812)
