"""The one place in pgolf that judges whether an artifact is over its limit.

The trainer, which knows nothing of pgolf, compares the same two numbers of run.json to widen its clips.
"""


def bytes_over(total_bytes: int | None, limit_bytes: int) -> int:
    """Return by how many bytes code and model exceed a limit; 0 if they fit, or if their size is not known.

    Source: "at most 16,000,000 bytes" (the challenge's README): an artifact of exactly the limit fits.
    """
    return max(0, (total_bytes or 0) - limit_bytes)
