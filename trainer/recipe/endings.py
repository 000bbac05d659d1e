"""How the end of a process reads, on both sides of the fence."""

import signal

# What usually stands behind a signal that nobody here sent.
LIKELY_REASONS: dict[int, str] = {
    signal.SIGKILL: ", by hand or, where memory ran out, by the kernel (`dmesg` names it)",
    signal.SIGBUS: "; a shard on disk was cut short while it was read (`pgolf data verify`)",
}


def describe_end(code: int) -> str:
    """An exit code in words; a negative one is the signal that killed the process."""
    return f"killed by signal {-code}{LIKELY_REASONS.get(-code, '')}" if code < 0 else f"it ended with code {code}"
