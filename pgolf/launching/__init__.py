"""The launcher API: the protocol of a launcher, how launchers are found, and what their authors need not write again.

A job is a run directory going in and a run directory coming out. `pgolf.launching.shipping` has what a launcher for
another machine sends and brings back.
"""

from pgolf.launching.handles import read_handle, write_handle
from pgolf.launching.plugins import check_options, launcher_entries, load_launcher
from pgolf.launching.protocol import GroupLauncher, Handle, Job, JobStatus, Launcher
from pgolf.launching.requirements import distribution_of, is_device

__all__ = [
    "GroupLauncher",
    "Handle",
    "Job",
    "JobStatus",
    "Launcher",
    "check_options",
    "distribution_of",
    "is_device",
    "launcher_entries",
    "load_launcher",
    "read_handle",
    "write_handle",
]
