"""`make bench`: measure the speed of training, scoring, packing and reading on this machine.

Ratios are taken in one process, in turns, so they hold on a noisy machine too. Absolute times need an idle one.
"""

import argparse
import os
import platform
import sys
from datetime import date
from pathlib import Path

import torch

from benchmarks.adaptation import measure_adaptation
from benchmarks.codecs import measure_codecs
from benchmarks.documents import measure_documents
from benchmarks.evaluation import measure_evaluation
from benchmarks.measure import Ratio, Timing
from benchmarks.memory import peak_bytes
from benchmarks.quantizer import measure_quantizer
from benchmarks.records import measure_records
from benchmarks.shapes import SHAPES, bench_device, ratio_batch_tokens
from benchmarks.start import measure_start
from benchmarks.training import measure_parts, measure_ratios
from trainer.recipe.writing import write_json, write_whole

# Shapes that are also measured compiled on a CPU; compiling takes a minute each.
COMPILED = ("quickstart", "baseline")
COMPONENTS = {"records": measure_records, "quantizer": measure_quantizer, "codecs": measure_codecs}
COMPARED = {"documents": measure_documents, "adaptation": measure_adaptation}
WHAT = ("start", *COMPONENTS, *COMPARED, "parts", "training", "evaluation", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder for results.json and results.md")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each measurement that takes seconds")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES), help="model shapes")
    parser.add_argument("--what", nargs="+", choices=WHAT, default=list(WHAT), help="measurements, all by default")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)  # before minutes are spent on what could not be written
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    timings, ratios = measure_all(arguments.what, arguments.shapes, arguments.rounds)
    machine = describe_machine()
    peaks = {shape: peak_bytes(shape) for shape in arguments.shapes if "memory" in arguments.what}
    document = {
        "machine": machine,
        "timings": [timing.as_json() for timing in timings],
        "ratios": [ratio.as_json() for ratio in ratios],
        "peak_bytes": peaks,
    }
    write_json(arguments.out / "results.json", document)
    page = "\n".join([f"# Benchmarks\n\n{machine}. Written by `make bench`.", *tables(timings, ratios, peaks)])
    write_whole(arguments.out / "results.md", page.encode())
    print(page)


def measure_all(what: list[str], shapes: list[str], rounds: int) -> tuple[list[Timing], list[Ratio]]:
    """Return the timings and ratios of the measurements named in `what`."""
    timings: list[Timing] = []
    ratios: list[Ratio] = []
    if "start" in what:
        timings, ratio = measure_start(rounds=9)
        ratios = [ratio]
    for name, measure in COMPONENTS.items():
        timings += measure(rounds) if name in what else []
    for name, compare in COMPARED.items():
        if name in what:
            measured = compare(rounds)
            timings, ratios = timings + measured[0], ratios + measured[1]
    for shape in shapes:
        measured = measure_shape(what, shape, rounds)
        timings, ratios = timings + measured[0], ratios + measured[1]
    return timings, ratios


def measure_shape(what: list[str], shape: str, rounds: int) -> tuple[list[Timing], list[Ratio]]:
    """Return the timings and ratios of one shape."""
    is_on_gpu = bench_device().type == "cuda"
    timings: list[Timing] = []
    ratios: list[Ratio] = []
    if "parts" in what:
        report_progress(f"{shape}: the parts of a step")
        # On a CPU the own batch of the larger shapes would take minutes.
        is_own, is_quick = shape == "quickstart" and not is_on_gpu, shape == "quickstart" or is_on_gpu
        timings += measure_parts(shape, 20 if is_quick else 1, None if is_own else ratio_batch_tokens(shape))
    for name, measure in (("training", measure_ratios), ("evaluation", measure_evaluation)):
        if name in what:
            report_progress(f"{shape}: {name}")
            measured = measure(shape, rounds, shape in COMPILED)
            timings, ratios = timings + measured[0], ratios + measured[1]
    return timings, ratios


def report_progress(text: str) -> None:
    """Print a line to stderr, which leaves stdout to the tables."""
    print(text, file=sys.stderr, flush=True)


def describe_machine() -> str:
    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    software = f"Python {platform.python_version()}, torch {torch.__version__}"
    gpu = f"one {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, " if torch.cuda.is_available() else ""
    return f"{date.today()}, {gpu}{cores} CPU cores, {threads} threads, {software}"


def tables(timings: list[Timing], ratios: list[Ratio], peaks: dict[str, int]) -> list[str]:
    """Return all tables as lines of Markdown."""
    return [
        "",
        *table(["what", "median", "spread", "n", "rate", "Gflop/s"], [timing.as_row() for timing in timings]),
        "",
        *table(["ratio", "median", "range"], [ratio.as_row() for ratio in ratios]),
        "",
        *table(["peak memory of a step", "GB"], [[name, f"{size / 1e9:.2f}"] for name, size in peaks.items()]),
        "",
    ]


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]


if __name__ == "__main__":
    main()
