"""Print how many damaged inputs of each kind are survived: `python -m tests.fuzz RUN_DIR COUNT [FIRST_SEED]`.

RUN_DIR is a finished run of quickstart at micro.
"""

import sys
import tempfile
from pathlib import Path

from tests.fuzz.runner import fuzz
from tests.fuzz.subjects import SHARES, make_subjects


def main() -> None:
    """Fuzz every subject, and print a line for each."""
    run, count, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0
    with tempfile.TemporaryDirectory(prefix="pgolf-fuzz-") as place:
        good = Path(place) / "good"
        subjects = make_subjects(run.absolute(), good)
        for name, subject in subjects.items():
            seeds = range(first, first + count * SHARES[name] // 100)
            tally = fuzz(subject, good, Path(place) / "work", seeds)
            survived = tally.tried - len(tally.failures)
            print(f"{name}: {tally.tried} tried, {survived} survived, grew by {tally.megabytes:.0f} MB", flush=True)
            for failure in tally.failures[:100]:
                print(f"  {failure}", flush=True)


if __name__ == "__main__":
    main()
