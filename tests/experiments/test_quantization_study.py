"""The statistics that compare quantizers are those of textbooks."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import t

STUDY = Path(__file__).parents[2] / "experiments/studies/quantization"


@pytest.fixture(scope="module")
def compare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare", STUDY / "compare.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_trend_has_the_interval_of_one_more_point(compare: ModuleType) -> None:
    """Against the general formula of least squares, s^2 (1 + x (X^T X)^-1 x^T)."""
    x_N = np.array([-0.9, 0.4, 0.5, 0.6, 1.9])
    y_N = np.array([-3.4, -1.9, -1.7, -1.8, -1.0])
    design_NK = np.stack([np.ones(5), x_N], axis=1)
    weights_K, squares, *_ = np.linalg.lstsq(design_NK, y_N, rcond=None)
    at_K = np.array([1.0, 2.5])
    variance = squares[0] / 3 * (1 + at_K @ np.linalg.inv(design_NK.T @ design_NK) @ at_K)
    middle, half = at_K @ weights_K, t.ppf(0.975, 3) * variance**0.5
    found = [float(number) for number in re.findall(r"[0-9.]+", compare.continued(x_N, y_N, 2.5))]
    assert found == pytest.approx(np.exp([middle, middle - half, middle + half]), abs=0.006)


def test_a_trend_that_says_nothing_is_unknown(compare: ModuleType) -> None:
    assert compare.continued(np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0, 0.0]), 4.0) == "unknown"


def line(variant: str, tokens: float, size: int, divergence: float) -> dict[str, object]:
    facts = {"run": "small", "experiment": f"small-{tokens:g}", "seed": 1, "width": 8, "weights": 100, "scale": 1.0}
    return facts | {
        "variant": variant, "tokens": tokens, "bytes": size, "divergence": divergence, "windows": [divergence, 0.0]
    }  # fmt: skip


def test_a_reference_is_read_between_its_sizes_in_the_logarithm(compare: ModuleType) -> None:
    lines = [line("other", 1e3, 100, 8.0), line("other", 1e3, 300, 2.0), line("mine", 1e3, 200, 1.0)]
    ((measured, share, saved),) = compare.compared(lines, "other")
    assert measured["variant"] == "mine"
    assert share == pytest.approx(1 / 4)  # the geometric mean of 8 and 2
    assert saved == pytest.approx([4.0, 0.0])


@pytest.mark.parametrize(("longest", "rows"), [(3.9e3, 0), (4.1e3, 1)])
def test_lengths_within_a_factor_of_four_give_no_trend(compare: ModuleType, longest: float, rows: int) -> None:
    lines = []
    for tokens, share in ((1e3, 0.1), (2e3, 0.2), (longest, 0.4)):
        lines += [
            line("other", tokens, 100, 8.0),
            line("other", tokens, 300, 8.0),
            line("mine", tokens, 200, 8 * share),
        ]
    assert len(list(compare.trend_rows(lines, "other"))) == rows
