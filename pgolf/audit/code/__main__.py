"""`python -m pgolf.audit.code FOLDER`: suspicions about a folder's code as JSON, within limits on memory and time."""

import json
import sys
from pathlib import Path

from pgolf.audit.code.reading import read_code
from pgolf.confinement.reader import confine_reader

MAX_MEMORY, MAX_SECONDS = 2 << 30, 20


def main() -> None:
    """Read logged settings from stdin and print one JSON object."""
    confine_reader([Path(sys.argv[1])], memory_bytes=MAX_MEMORY, seconds=MAX_SECONDS)
    logged = json.load(sys.stdin)
    json.dump(read_code(Path(sys.argv[1]), logged), sys.stdout)


if __name__ == "__main__":
    main()
