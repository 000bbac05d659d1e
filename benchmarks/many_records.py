"""Speed and memory of a leaderboard over thousands of records: `python -m benchmarks.many_records RECORDS [NUMBER]`.

The folders are those in RECORDS, each copied with other digits, seeds and names.
"""

import gzip
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEXTS = {".json", ".log", ".md", ".txt"}
SCORE = re.compile(rb"\d\.\d{4,8}")
SEED = re.compile(rb"(?i)(seed\D{0,3})(42|1337|2024|2025|314|999)\b")


def changed(content: bytes, number: int) -> bytes:
    """Return a text with the last digits of its scores, and its seeds, moved by a number."""
    digits = random.Random(number)
    moved = SCORE.sub(lambda found: found[0][:-2] + b"%02d" % digits.randrange(100), content)
    return SEED.sub(lambda found: found[1] + b"%d" % (int(found[2]) + number), moved)


def write_copies(source: Path, target: Path, number: int) -> None:
    """Write a number of changed copies of the records in a folder."""
    records = sorted(path for path in source.iterdir() if path.is_dir())
    for copy in range(number):
        record = records[copy % len(records)]
        for path in record.rglob("*"):
            if not path.is_file():
                continue
            place = target / f"{copy:04d}-{record.name}" / path.relative_to(record)
            place.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.compress(changed(gzip.decompress(content), copy), 1)
            elif path.suffix in TEXTS:
                content = changed(content, copy)
            place.write_bytes(content)


def main(source: Path, number: int) -> None:
    """Print seconds and the peak memory of the largest process, first without and then with a cache."""
    with tempfile.TemporaryDirectory() as place:
        records = Path(place, "records")
        write_copies(source, records, number)
        command = [sys.executable, "-m", "pgolf", "report", "--leaderboard", str(records), "--json"]
        for name in ("cold", "warm"):
            began = time.perf_counter()
            subprocess.run(
                [*command, "--out", f"{place}/{name}.json"],
                env=os.environ | {"XDG_CACHE_HOME": f"{place}/cache"},
                check=True,
            )
            seconds = time.perf_counter() - began
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(f"{name}: {number:,} records in {seconds:.1f} s, largest process {peak:.0f} MB")
        is_same = Path(place, "cold.json").read_bytes() == Path(place, "warm.json").read_bytes()
        print("the answers are equal" if is_same else "the answers differ")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2_000)
