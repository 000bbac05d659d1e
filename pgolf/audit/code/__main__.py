"""`python -m pgolf.audit.code FOLDER`: suspicions about a folder's code as JSON, within limits on memory and time."""

import json
import resource
import sys
from pathlib import Path

from pgolf.audit.code.reading import read_code

MAX_MEMORY, MAX_SECONDS = 2 << 30, 20


def main() -> None:
    """Read logged settings from stdin and print one JSON object."""
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    logged = json.load(sys.stdin)
    json.dump(read_code(Path(sys.argv[1]), logged), sys.stdout)


if __name__ == "__main__":
    main()
