"""What `launch.gpu` asks for, and which GPUs are of that kind."""

import pytest

from pgolf.gpus import GpuRequest, parse_gpus


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("H100", GpuRequest("H100", 1)),
        ("H100:8", GpuRequest("H100", 8)),
        ("H100!:2", GpuRequest("H100", 2, "!")),
        ("B200+:8", GpuRequest("B200", 8, "+")),
        ("RTX-PRO-6000:4", GpuRequest("RTX-PRO-6000", 4)),
    ],
)
def test_kind_number_and_suffix_are_told_apart(text: str, expected: GpuRequest) -> None:
    assert parse_gpus(text) == expected


@pytest.mark.parametrize(
    ("asked", "name", "expected"),
    [
        ("H100!:8", "NVIDIA H100 80GB HBM3", True),
        ("H100", "NVIDIA H200", False),
        ("H200", "NVIDIA GH200 480GB", False),
        ("A10", "NVIDIA A100-SXM4-80GB", False),
        ("L4", "NVIDIA L40S", False),
        ("A100-80GB:4", "NVIDIA A100-SXM4-80GB", True),
        ("A100-80GB", "NVIDIA A100-SXM4-40GB", False),
        ("A100", "NVIDIA A100-SXM4-40GB", True),
        ("RTX-PRO-6000", "NVIDIA RTX PRO 6000 Blackwell Server Edition", True),
        ("RTX-PRO-6000", "NVIDIA RTX A6000", False),
        ("B200+", "NVIDIA B300", True),
    ],
)
def test_a_gpus_name_is_compared_word_by_word(asked: str, name: str, expected: bool) -> None:
    assert parse_gpus(asked).includes(name) == expected
