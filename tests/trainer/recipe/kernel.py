"""A folder that looks like the kernel's: /proc and /sys/fs/cgroup."""

from collections.abc import Mapping
from pathlib import Path

MOUNTINFO = "{number} 23 0:28 {shown} {mount} rw,nosuid shared:1 - {kind} {kind} rw{options}\n"
Groups = Mapping[str, Mapping[str, str]]
"""The files of each group, by the group's path below the mount."""


def kernel_of(
    root: Path,
    version2: Groups | None = None,
    version1: Mapping[str, Groups] | None = None,
    *,
    group: str = "/",
    shown: str = "/",
    meminfo: str = "",
) -> Path:
    """Make a root folder with these groups and return it.

    Args:
        version1: groups by their controllers, such as "cpu,cpuacct".
        group: the group of the process as the kernel calls it.
        shown: the group that is mounted.
    """
    (root / "proc" / "self").mkdir(parents=True, exist_ok=True)
    memberships, mounts = [], []
    hierarchies = {"": version2} if version2 is not None else {}
    for number, (controllers, groups) in enumerate({**(version1 or {}), **hierarchies}.items()):
        mount = f"/sys/fs/cgroup/{controllers}".rstrip("/")
        kind, options = ("cgroup", f",{controllers}") if controllers else ("cgroup2", "")
        memberships.append(f"{0 if not controllers else number + 1}:{controllers}:{group}\n")
        mounts.append(MOUNTINFO.format(number=number, shown=shown, mount=mount, kind=kind, options=options))
        for path, files in groups.items():
            folder = root / mount.lstrip("/") / path.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (folder / name).write_text(text)
    (root / "proc" / "self" / "cgroup").write_text("".join(memberships))
    (root / "proc" / "self" / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/root rw\n" + "".join(mounts))
    if meminfo:
        (root / "proc" / "meminfo").write_text(meminfo)
    return root
