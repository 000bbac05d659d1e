"""`make bench`: what is fast and what is not, on this machine, as medians and ratios.

Ratios are taken in one process, turn by turn; they mean something on a noisy machine, absolute times hardly do.
"""

import argparse
import os
import platform
from datetime import date
from pathlib import Path

import torch

from benchmarks.artifact import measure_artifact
from benchmarks.codecs import measure_codecs
from benchmarks.measure import Ratio, Timing
from benchmarks.quantizer import measure_quantizer
from benchmarks.records import measure_records
from benchmarks.start import measure_start
from benchmarks.training import measure_parts, measure_ratios
from trainer.recipe.files import write_json, write_whole


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder of results.json and results.md")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of what takes seconds")
    parser.add_argument("--shapes", nargs="+", default=["quickstart", "baseline"])
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    timings, ratios = measure_all(arguments.shapes, arguments.rounds)
    machine = describe_machine()
    document = {"machine": machine, "timings": [t.as_json() for t in timings], "ratios": [r.as_json() for r in ratios]}
    write_json(arguments.out / "results.json", document)
    page = "\n".join([f"# Benchmarks\n\n{machine}. Written by `make bench`.", *tables(timings, ratios)])
    write_whole(arguments.out / "results.md", page.encode())
    print(page)


def measure_all(shapes: list[str], rounds: int) -> tuple[list[Timing], list[Ratio]]:
    """Every timing and every ratio."""
    timings, ratio = measure_start(rounds=9)
    ratios = [ratio]
    timings += measure_records(rounds)
    timings += measure_quantizer(rounds)
    timings += measure_codecs(rounds)
    for shape in shapes:
        batch_tokens = None if shape == "quickstart" else 16_384  # the baseline's own batch takes minutes on a CPU
        timings += measure_parts(shape, 20 if shape == "quickstart" else rounds, batch_tokens)
        timings += measure_artifact(shape, rounds)
        more, further = measure_ratios(shape, rounds)
        timings, ratios = timings + more, ratios + further
    return timings, ratios


def describe_machine() -> str:
    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    software = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{date.today()}, {cores} CPU cores, {threads} threads, {software}"


def tables(timings: list[Timing], ratios: list[Ratio]) -> list[str]:
    """Both tables in Markdown."""
    return [
        "",
        *table(["what", "median", "spread", "n", "rate"], [timing.as_row() for timing in timings]),
        "",
        *table(["ratio", "median", "range"], [ratio.as_row() for ratio in ratios]),
        "",
    ]


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]


if __name__ == "__main__":
    main()
