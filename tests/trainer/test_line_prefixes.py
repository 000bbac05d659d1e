"""Log lines without what launchers and loggers print before them."""

import pytest

from trainer.dialects.lines import plain_lines

PREFIXES = (
    "(task, pid=1) ",
    "(head, rank=0, pid=2741) ",
    "(RayTrainWorker pid=4012, ip=10.0.0.7) ",
    "0: ",
    " 3: ",
    "[default0]:",
    "[rank0]: ",
    "[rank 0] ",
    "wandb: ",
    "trainer-1  | ",
    "trainer_1  | ",
    "[pod/train-7c9f/main] ",
    "Nov 29 03:04:05 gpu-host train[812]: ",
    "2026-11-29T03:04:05+0000 gpu-host python[812]: ",
    "2026-11-29T03:04:05.1234567Z ",
    "2026-11-29 03:04:05,123 - INFO - ",
    "2026-11-29 03:04:05,123 - train - INFO - ",
    "2026-11-29 03:04:05,123 INFO: ",
    "[2026-11-29 03:04:05,123][INFO] ",
    "2026-11-29 03:04:05.123 | INFO     | train:main:12 - ",
    "INFO:root:",
    "INFO:__main__:",
    "[INFO] ",
    "[03:04:05] ",
    "03:04:05 ",
    "1776143504.630 ",
    "1776143504 ",
    "2026-11-29T03:04:05Z (task, pid=1) [default0]:INFO:root:",
)
LINES = (
    "final_int8_zlib_roundtrip_exact val_loss:2.07269931 val_bpb:1.22436570",
    "500/20000 train_loss: 3.0229 train_time: 0.8m tok/s: 7991951",
    "step:200/20000 train_loss:2.3 train_time:8700ms step_avg:43.5ms",
    "step   100/7000 | loss 5.0926 | lr_mul 1.0000 | 154s",
    "  matrix_lr: 0.02",
    "seed:1337",
    "Total submission size int8+zlib: 15863489 bytes",
    "gptq_mixed_brotli: 15867420 bytes | code: 91686 | total: 15959106",
    "quantized_ttt_phased val_loss:2.40921902 val_bpb:1.10010001 eval_time:440857ms",
    "ttt_sliding:done val_loss=1.847848 val_bpb=1.094402 elapsed=500.0s",
)


@pytest.mark.parametrize("line", LINES)
def test_a_line_without_prefix_stays_as_it_is(line: str) -> None:
    assert plain_lines(line) == [line]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_is_taken_off_before_every_kind_of_line(prefix: str) -> None:
    """Also off an indented line, whose indentation says that it is a setting."""
    assert [plain_lines(prefix + line) for line in LINES] == [[line] for line in LINES]
