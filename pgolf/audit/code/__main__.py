"""`python -m pgolf.audit.code FOLDER`: what a folder's code looks like, as JSON. It bounds its own memory and time."""

import json
import resource
import sys
from pathlib import Path

from pgolf.audit.code.reading import read_code

MOST_MEMORY, MOST_SECONDS = 2 << 30, 20


def main() -> None:
    """Nothing; one JSON object stands on stdout."""
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    logged = json.load(sys.stdin)
    json.dump(read_code(Path(sys.argv[1]), logged), sys.stdout)


if __name__ == "__main__":
    main()
