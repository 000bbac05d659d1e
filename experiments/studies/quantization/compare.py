"""Compare quantizers at equal bytes, from the measurements of measure.py.

    python experiments/studies/quantization/compare.py quantization.jsonl

Prints a Markdown table. The divergence of `gptq` at the bytes of another quantizer lies on the line between its own
measurements, in the logarithm; so do its losses, window by window. The loss saved has a 95 % interval over windows,
which are paired.
"""

import argparse
import json
from collections import defaultdict
from itertools import pairwise
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgolf.statistics import student_quantile

REFERENCE = "gptq"
Line = dict[str, Any]


def between(reference: list[Line], size: int) -> tuple[float, NDArray[np.float64]] | None:
    """Return divergence and losses of the reference at a size; None outside of its sizes."""
    for low, high in pairwise(sorted(reference, key=lambda line: int(line["bytes"]))):
        if low["bytes"] <= size <= high["bytes"]:
            share = (size - low["bytes"]) / (high["bytes"] - low["bytes"])
            divergence = exp((1 - share) * log(low["divergence"]) + share * log(high["divergence"]))
            return divergence, (1 - share) * np.array(low["windows"]) + share * np.array(high["windows"])
    return None


def rows(lines: list[Line]) -> list[str]:
    """Return the rows of the table."""
    runs: dict[tuple[str, int, int], list[Line]] = defaultdict(list)
    for line in lines:
        runs[line["run"], line["width"], line["seed"]].append(line)
    found = []
    for (run, width, seed), members in sorted(runs.items()):
        reference = [line for line in members if line["variant"] == REFERENCE]
        for line in sorted(members, key=lambda line: (line["variant"], line["bytes"])):
            at_size = between(reference, line["bytes"])
            if line["variant"] == REFERENCE or at_size is None:
                continue
            divergence, losses = at_size
            saved = losses - np.array(line["windows"])
            half = float(student_quantile(0.975, len(saved) - 1) * saved.std(ddof=1) / len(saved) ** 0.5)
            found.append(
                f"| {run}, width {width} | {seed} | {line['variant']} | {line['bytes']:,} | "
                f"{8 * line['bytes'] / line['weights']:.2f} | {line['divergence']:.3f} | "
                f"{line['divergence'] / divergence:.3f} | {saved.mean():.2f} +- {half:.2f} |"
            )
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path, help="file that measure.py has written")
    lines = [json.loads(line) for line in parser.parse_args().measurements.read_text().splitlines()]
    print("| run | seed | quantizer | bytes | bits a weight | divergence | of gptq's at these bytes | loss saved |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows(lines)))


if __name__ == "__main__":
    main()
