"""The launcher API: the protocol of a launcher, how launchers are found, and helpers for their authors.

A job is a run directory going in and a run directory coming out. The helpers are in the modules of this package:
`handles`, `endings`, `polling`, `requirements`, `doctor`, `commands` and, for another machine, `shipping`.
"""

from pgolf.launching.handles import read_handle, write_handle
from pgolf.launching.plugins import check_options, describe_launcher, launcher_entries, load_launcher
from pgolf.launching.protocol import GroupLauncher, Handle, Job, JobStatus, Launcher, MovingLauncher, Standing
from pgolf.launching.requirements import distribution_of

__all__ = [
    "GroupLauncher",
    "Handle",
    "Job",
    "JobStatus",
    "Launcher",
    "MovingLauncher",
    "Standing",
    "check_options",
    "describe_launcher",
    "distribution_of",
    "launcher_entries",
    "load_launcher",
    "read_handle",
    "write_handle",
]
