"""Compare quantizers at equal bytes, from the measurements of measure.py.

    python experiments/studies/quantization/compare.py experiments/studies/quantization/measured.jsonl

Prints Markdown tables. The divergence of `gptq`, or of another `--reference`, at the bytes of another quantizer lies on
the line between its own measurements, in the logarithm; so do its losses, window by window. The loss saved has a 95 %
interval over windows, which are paired. The last table continues the share of divergence to longer training. `--curves
FOLDER` draws divergence against bits, one SVG for each experiment.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from math import exp, log, log10
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from pgolf.statistics import student_quantile

BOUND = "bound"
# Tokens a weight is trained on to which the trend is continued; public runs of 36 M weights see 80 and more.
EXPOSURES = (1, 5, 20, 80)
# Lengths of training that a trend needs, as the ratio of the longest to the shortest.
LEAST_SPAN = 4
Line = dict[str, Any]
Losses = NDArray[np.float64]
HEAD = "| experiment | seed | quantizer | bytes | bits a weight | divergence | of {}'s at these bytes | loss saved |"
POOLED_HEAD = "| experiment | quantizer | seeds | of {}'s divergence | p of a loss saved, the largest of all rates |"
TREND_HEAD = (
    f"| shape | quantizer | models | {' | '.join(f'at {exposure} tokens a weight' for exposure in EXPOSURES)} |"
)
WIDTH, HEIGHT, LEFT, BOTTOM = 640, 400, 60, 40
COLORS = ("#1b6ca8", "#d1495b", "#3b8f5a", "#8a5fbf", "#c77f1a", "#555555", "#00a0a0", "#a06000", "#d070b0", "#7f7f00")


def between(reference: list[Line], size: int) -> tuple[float, Losses] | None:
    """Return divergence and losses of the reference at a size; None outside of its sizes."""
    for low, high in pairwise(sorted(reference, key=lambda line: int(line["bytes"]))):
        if low["bytes"] <= size <= high["bytes"]:
            share = (size - low["bytes"]) / (high["bytes"] - low["bytes"])
            divergence = exp((1 - share) * log(low["divergence"]) + share * log(high["divergence"]))
            return divergence, (1 - share) * np.array(low["windows"]) + share * np.array(high["windows"])
    return None


def compared(lines: list[Line], reference: str) -> Iterator[tuple[Line, float, Losses]]:
    """Yield each measurement within the reference's sizes, its share of divergence, and the loss saved in windows."""
    runs: dict[tuple[str, int], list[Line]] = defaultdict(list)
    for line in lines:
        runs[line["experiment"], line["seed"]].append(line)
    for _, members in sorted(runs.items()):
        references = [line for line in members if line["variant"] == reference]
        for line in sorted(members, key=lambda line: (line["variant"], line["bytes"])):
            at_size = between(references, line["bytes"])
            if line["variant"] not in (reference, BOUND) and at_size is not None:
                yield line, line["divergence"] / at_size[0], at_size[1] - np.array(line["windows"])


def label(line: Line) -> str:
    """Return what tells an experiment from others."""
    return f"{line['run']}, width {line['width']}, {line['tokens'] / 1e6:.1f} M tokens"


def rows(lines: list[Line], reference: str) -> Iterator[str]:
    """Yield the rows of the table."""
    for line, share, saved in compared(lines, reference):
        half = student_quantile(0.975, len(saved) - 1) * saved.std(ddof=1) / len(saved) ** 0.5
        yield (
            f"| {label(line)} | {line['seed']} | {line['variant']} | {line['bytes']:,} | "
            f"{8 * line['bytes'] / line['weights']:.2f} | {line['divergence']:.3f} | {share:.3f} | "
            f"{saved.mean():.2f} +- {half:.2f} |"
        )


def pooled_rows(lines: list[Line], reference: str) -> Iterator[str]:
    """Yield one row for each experiment and quantizer; p is one-sided, over windows, each the mean of its seeds."""
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    saved_at: dict[tuple[str, str], dict[float, list[Losses]]] = defaultdict(lambda: defaultdict(list))
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for line, share, saved in compared(lines, reference):
        key = label(line), line["variant"]
        shares[key].append(share)
        saved_at[key][line["scale"]].append(saved)
        seeds[key].add(line["seed"])
    for key, found in shares.items():
        pooled = [np.mean(each, axis=0) for each in saved_at[key].values()]
        p = max(float(ttest_1samp(each, 0.0, alternative="greater").pvalue) for each in pooled)
        yield f"| {key[0]} | {key[1]} | {len(seeds[key])} | {min(found):.3f} to {max(found):.3f} | {p:.1g} |"


def trend_rows(lines: list[Line], reference: str) -> Iterator[str]:
    """Yield for models of one shape the share of divergence after other lengths of training, with 95 % intervals.

    The logarithm of the share, its mean over rates, lies on a line over that of the tokens a weight is trained on. The
    intervals are those of one more model. Nothing is said of shapes whose lengths are within a factor of 4.
    """
    points: dict[tuple[str, str], dict[tuple[str, int], list[tuple[float, float]]]]
    points = defaultdict(lambda: defaultdict(list))
    for line, share, _ in compared(lines, reference):
        shape = f"{line['run']}, width {line['width']}"
        exposure = log(line["tokens"] / line["weights"])
        points[shape, line["variant"]][line["experiment"], line["seed"]].append((exposure, log(share)))
    for (shape, variant), models in points.items():
        x_N, y_N = np.array([np.mean(model, axis=0) for model in models.values()]).T
        if len(x_N) > 2 and np.ptp(x_N) > log(LEAST_SPAN):
            cells = [continued(x_N, y_N, log(exposure)) for exposure in EXPOSURES]
            yield f"| {shape} | {variant} | {len(x_N)} | {' | '.join(cells)} |"


def continued(x_N: Losses, y_N: Losses, x: float) -> str:
    """Return exp(y) where a line through points has x, with the 95 % interval of one more point."""
    slope, level = np.polyfit(x_N, y_N, 1)
    freedom, spread = len(x_N) - 2, ((x_N - x_N.mean()) ** 2).sum()
    noise = (((y_N - level - slope * x_N) ** 2).sum() / freedom) ** 0.5
    half = student_quantile(0.975, freedom) * noise * (1 + 1 / len(x_N) + (x - x_N.mean()) ** 2 / spread) ** 0.5
    middle = level + slope * x
    return f"{exp(middle):.2f} ({exp(middle - half):.2f} to {exp(middle + half):.2f})" if half < 3 else "unknown"


def draw_curves(lines: list[Line]) -> str:
    """Return an SVG of divergence against bits a weight, one curve for each quantizer."""
    curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: int(line["bytes"])):
        curves[line["variant"]].append((8 * line["bytes"] / line["weights"], log10(line["divergence"])))
    measured = [point for name, curve in curves.items() if name != BOUND for point in curve]
    lowest, highest = min(y for _, y in measured) - 0.3, max(y for _, y in measured) + 0.1
    first, last = min(x for x, _ in measured), max(x for x, _ in measured)

    def place(x: float, y: float) -> str:
        across, up = (x - first) / (last - first), (y - lowest) / (highest - lowest)
        return f"{LEFT + across * (WIDTH - LEFT - 10):.1f},{(HEIGHT - BOTTOM) * (1 - up) + 5:.1f}"

    form = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {form}>']
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    for power in np.arange(np.ceil(lowest * 2) / 2, highest, 0.5):
        x, y = place(first, float(power)).split(",")
        parts.append(f'<path d="M{x},{y} H{WIDTH - 10}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y}" dy="4" text-anchor="end">{10.0**power:.3g}</text>')
    for bits in np.arange(np.ceil(first * 2) / 2, last, 0.5):
        x = place(float(bits), lowest).split(",")[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 22}" text-anchor="middle">{bits:g}</text>')
    parts.append(f'<text x="{WIDTH // 2}" y="{HEIGHT - 3}" text-anchor="middle">bits a weight, code included</text>')
    for number, (name, curve) in enumerate(sorted(curves.items())):
        color, dash = COLORS[number % len(COLORS)], ' stroke-dasharray="4 4"' if name == BOUND else ""
        inside = [point for point in curve if first <= point[0] <= last and lowest <= point[1] <= highest]
        path = " L".join(place(*point) for point in inside)
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{WIDTH - 14}" y="{20 + 16 * number}" text-anchor="end" fill="{color}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path, help="file that measure.py has written")
    parser.add_argument("--curves", type=Path, help="folder for the SVG of each experiment's first seed")
    parser.add_argument("--reference", default="gptq", help="variant that the others are compared with")
    arguments = parser.parse_args()
    lines = [json.loads(line) for line in arguments.measurements.read_text().splitlines() if line.strip()]
    if arguments.reference not in (variants := {line["variant"] for line in lines}):
        parser.error(f"{arguments.measurements} has no {arguments.reference!r}; it has {sorted(variants) or 'nothing'}")
    for head, body in (
        (HEAD.format(arguments.reference), rows(lines, arguments.reference)),
        (POOLED_HEAD.format(arguments.reference), pooled_rows(lines, arguments.reference)),
        (TREND_HEAD, trend_rows(lines, arguments.reference)),
    ):
        print("\n".join([head, "|---" * (head.count("|") - 1) + "|", *body, ""]))
    if arguments.curves is not None:
        arguments.curves.mkdir(parents=True, exist_ok=True)
        for experiment in sorted({line["experiment"] for line in lines}):
            members = [line for line in lines if line["experiment"] == experiment]
            seed = members[0]["seed"]
            drawn = draw_curves([line for line in members if line["seed"] == seed])
            (arguments.curves / f"{experiment}.svg").write_text(drawn)


if __name__ == "__main__":
    main()
