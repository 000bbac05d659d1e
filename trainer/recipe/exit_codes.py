"""Exit codes that trainer, launchers and pgolf agree on, and how the end of a process reads."""

import signal

ALREADY_RUNNING = 75
"""Another trainer holds the run directory (EX_TEMPFAIL)."""
TIMED_OUT = 124
"""The launcher ended the job at its time limit (as `timeout` does)."""
INTERRUPTED = 130
"""Stopped by Ctrl-C, SIGTERM or `pgolf cancel`; the same command resumes."""

LIKELY_REASONS: dict[int, str] = {
    signal.SIGKILL: ", by hand or by the kernel because memory ran out (see `dmesg`)",
    signal.SIGBUS: "; a shard was truncated while it was read (run `pgolf data verify`)",
}


def describe_exit(code: int) -> str:
    """Return an exit code in words; a negative code is the signal that killed the process."""
    return f"killed by signal {-code}{LIKELY_REASONS.get(-code, '')}" if code < 0 else f"it ended with code {code}"
