"""Limits of the control groups of this process: what a container or a scheduler allows it to use.

Both versions are read. A limit may be set on the group itself or on any group above it, so all of them are asked.
Inside a container the group's path is often one of the host, of which only the group itself is mounted.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of this machine as this process may use it, in bytes."""

    total: int
    free: int
    machine_total: int

    @property
    def is_limited(self) -> bool:
        """Return whether a control group allows less than the machine has."""
        return self.total < self.machine_total


def cgroup_cpus(root: Path = ROOT) -> float | None:
    """Return how many CPUs the groups of this process may use, such as 1.5; None without a limit."""
    limits = []
    for folder in cgroup_folders("cpu", root):
        with suppress(OSError, ValueError):  # no such file, or no limit: "max"
            quota, period = (folder / "cpu.max").read_text().split()
            limits.append(int(quota) / int(period))
        with suppress(OSError, ValueError):
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            limits += [int(quota) / int(period)] if int(quota) > 0 else []  # -1: no limit
    return min(limits, default=None)


def read_memory(root: Path = ROOT) -> Memory | None:
    """Return the memory that this process may use; None where the kernel does not say."""
    machine = read_sizes(root / "proc" / "meminfo", unit=1024)
    if "MemTotal" not in machine:
        return None
    total = machine["MemTotal"]
    free = machine.get("MemAvailable", machine.get("MemFree", total))
    limits = [*cgroup_memory(root)]
    allowed = min([total, *(limit for limit, _ in limits)])
    return Memory(allowed, max(0, min([free, *(limit - used for limit, used in limits)])), total)


def cgroup_memory(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use of each group of this process that has a limit, without files that the kernel can drop.

    Version 1 has no word for "no limit", only a number beyond any memory.
    """
    for folder in cgroup_folders("memory", root):
        for limit_file, use_file, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with suppress(OSError, ValueError):
                limit, used = int((folder / limit_file).read_text()), int((folder / use_file).read_text())
                yield limit, used - min(used, read_sizes(folder / "memory.stat").get(cache, 0))


def cgroup_folders(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of the groups of this process that may limit what a controller controls, outermost last."""
    for mount, mounted_group, group in cgroup_mounts(controller, root):
        with suppress(ValueError):
            group = Path("/") / group.relative_to(mounted_group)
        for part in (group, *group.parents):
            # A group that is not below the mounted one, or not visible here, is left out.
            folder = root / mount.relative_to("/") / part.relative_to("/")
            if ".." not in part.parts and folder.is_dir():
                yield folder


def cgroup_mounts(controller: str, root: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Yield where a hierarchy with this controller is mounted, which group is mounted there, and this process's group.

    The controllers of a hierarchy of version 1 are the options of its mount; that of version 2 has them all.
    """
    groups: dict[str, Path] = {}
    for line in read_lines(root / "proc" / "self" / "cgroup"):
        _, _, entry = line.partition(":")
        controllers, colon, group = entry.partition(":")
        if colon:
            groups |= dict.fromkeys(controllers.split(","), Path("/", group))
    for line in read_lines(root / "proc" / "self" / "mountinfo"):
        place, _, kind = line.partition(" - ")
        places, words = place.split()[3:5], kind.split()
        if len(places) < 2 or not words:
            continue
        mounted_group, mount = (Path(unescaped(word)) for word in places)
        name, options = words[0], words[-1]  # the source between them may be empty
        if name == "cgroup2" and "" in groups:
            yield mount, mounted_group, groups[""]
        elif name == "cgroup" and controller in options.split(",") and controller in groups:
            yield mount, mounted_group, groups[controller]


def unescaped(word: str) -> str:
    """Return a word of mountinfo with its blanks."""
    return word.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file of the kernel; none if there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def read_sizes(path: Path, unit: int = 1) -> dict[str, int]:
    """Return the numbers of a file of lines such as `MemTotal: 4 kB`, times a unit."""
    found = {}
    for line in read_lines(path):
        with suppress(ValueError):
            name, number, *_ = line.replace(":", " ").split()
            found[name] = int(number) * unit
    return found
