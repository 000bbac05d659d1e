"""Speed and memory of reading public logs."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Timing

LINES = 8_000
RECORDS = 6
READ = """
import resource, sys, time
from pathlib import Path
from pgolf.report.leaderboard import ranked
from pgolf.rulesets.ruleset import load_ruleset
began = time.perf_counter()
entries = ranked(Path(sys.argv[1]), load_ruleset("parameter_golf"))
seconds = time.perf_counter() - began
logs = sum(len(entry.standing.group["seeds"]) for entry in entries)
print(seconds, logs, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
HEAD = "Hyperparameters:\n" + "".join(f"  key_{number}: {number}\n" for number in range(120))


def write_record(folder: Path, number: int) -> None:
    """Write a record with claims and three logs as long as public ones."""
    folder.mkdir(parents=True)
    for seed in (42, 1337, 2024):
        steps = "".join(
            f"step:{step}/20000 train_loss:{3 + 1 / (1 + step):.4f} train_time:{step * 87}ms step_avg:87.00ms\n"
            for step in range(LINES)
        )
        bpb = 1.1 + number / 100 + seed / 1e7
        tail = (
            f"seed:{seed}\nmodel_params:17059912\nstopping_early: wallclock_cap train_time:599000ms step:7999/20000\n"
            f"Total submission size int8+zlib: {15_900_000 + seed} bytes\n"
            f"final_int8_zlib_roundtrip_exact val_loss:{bpb * 1.69:.8f} val_bpb:{bpb:.8f}\n"
        )
        (folder / f"train_seed{seed}.log").write_text(HEAD + steps + tail)
    (folder / "submission.json").write_text(f'{{"val_bpb": {1.1 + number / 100}, "name": "record {number}"}}')


def measure_records(rounds: int) -> list[Timing]:
    """Time a leaderboard over records of three logs each, in a process of its own; the name has its peak memory."""
    with tempfile.TemporaryDirectory() as place:
        for number in range(RECORDS):
            write_record(Path(place) / "records" / f"r{number}", number)
        found = [read_in_a_process(Path(place) / "records") for _ in range(rounds)]
    logs, peak = found[0][1], max(memory for _, _, memory in found)
    name = f"leaderboard of {int(logs)} logs of {LINES:,} lines, peak memory {peak / 1024:.0f} MB"
    return [Timing(name, [seconds for seconds, _, _ in found], logs, "log")]


def read_in_a_process(folder: Path) -> tuple[float, float, float]:
    """Return seconds, number of logs, and peak memory in kilobytes."""
    ended = subprocess.run([sys.executable, "-c", READ, str(folder)], capture_output=True, text=True, check=True)
    seconds, logs, memory = map(float, ended.stdout.split())
    return seconds, logs, memory
