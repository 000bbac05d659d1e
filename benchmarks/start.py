"""Start-up time of the command line."""

import subprocess
import sys

from benchmarks.measure import Ratio, Timing, take_turns

LIBRARIES = [sys.executable, "-c", "import typer, rich, pydantic"]
HELP = [sys.executable, "-m", "pgolf", "--help"]


def measure_start(rounds: int) -> tuple[list[Timing], Ratio]:
    """Time `pgolf --help` against importing its libraries; a ratio above 1 means that pgolf is slower."""

    def command(words: list[str]) -> None:
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)

    seconds = take_turns({"help": lambda: command(HELP), "libraries": lambda: command(LIBRARIES)}, rounds)
    timings = [Timing("pgolf --help", seconds["help"]), Timing("import typer, rich, pydantic", seconds["libraries"])]
    pairs = [own / other for own, other in zip(seconds["help"], seconds["libraries"], strict=True)]
    return timings, Ratio("seconds of pgolf --help over seconds of the import", pairs)
