"""Limits of containers: both versions of control groups, groups above, and groups that are mounted alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.recipe.kernel import kernel_of
from trainer.doctor import check_memory, describe_cores
from trainer.recipe.cgroups import Memory, cgroup_cpus, read_memory
from trainer.recipe.cores import allowed_cores

GIB = 1 << 30
MEMINFO = f"MemTotal: {24 * GIB // 1024} kB\nMemFree: 1 kB\nMemAvailable: {20 * GIB // 1024} kB\nHugePages_Total: 0\n"
NO_LIMIT = "9223372036854771712\n"


def quota(microseconds: int, period: int = 100_000) -> dict[str, str]:
    return {"cpu.cfs_quota_us": f"{microseconds}\n", "cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"version2": {"/": {"cpu.max": "max 100000\n"}}}, None),
        ({"version2": {"/": {"cpu.max": "150000 100000\n"}}}, 1.5),
        ({"version2": {"/": {}}}, None),
        ({"version1": {"cpu,cpuacct": {"/": quota(-1)}}}, None),
        ({"version1": {"cpu,cpuacct": {"/": quota(25_000, 50_000)}}}, 0.5),
        ({"version1": {"cpuset": {"/": quota(25_000)}}}, None),
        # The limit of a group above holds too; so does the tighter of two hierarchies.
        ({"version2": {"/a": {"cpu.max": "200000 100000"}, "/a/b": {"cpu.max": "max 100000"}}, "group": "/a/b"}, 2.0),
        ({"version1": {"cpu": {"/a": quota(100_000), "/a/b": quota(300_000)}}, "group": "/a/b"}, 1.0),
        ({"version2": {"/": {"cpu.max": "300000 100000"}}, "version1": {"cpu": {"/": quota(200_000)}}}, 2.0),
        # A container sees its own group only: as the root of the mount, or under a path of the host.
        ({"version1": {"cpu": {"/": quota(200_000)}}, "group": "/docker/1f", "shown": "/docker/1f"}, 2.0),
        ({"version1": {"cpu": {"/": quota(200_000)}}, "group": "/docker/1f"}, 2.0),
        ({"version2": {"/": {"cpu.max": "50000 100000"}}, "group": "/../../system.slice"}, 0.5),
        ({"version2": {"/in": {"cpu.max": "50000 100000"}}, "group": "/pod/in", "shown": "/pod"}, 0.5),
        ({"version2": {"/": {"cpu.max": "a b c"}}}, None),
        ({}, None),
    ],
)
def test_the_tightest_cpu_limit_of_all_groups_holds(
    groups: dict[str, Any], expected: float | None, tmp_path: Path
) -> None:
    assert cgroup_cpus(kernel_of(tmp_path, **groups)) == expected


def test_a_part_of_a_core_counts_as_a_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert allowed_cores(kernel_of(tmp_path / "1", {"/": {"cpu.max": "210000 100000"}})) == 3
    assert allowed_cores(kernel_of(tmp_path / "2", {"/": {"cpu.max": "1000 100000"}})) == 1
    assert allowed_cores(kernel_of(tmp_path / "3", {"/": {"cpu.max": "900000 100000"}})) == 4
    assert describe_cores(3, 4) == "CPU with 3 of 4 cores: limited by the container"


def limited(limit: str, used: int, cache: int) -> dict[str, str]:
    return {"memory.max": limit, "memory.current": f"{used}\n", "memory.stat": f"anon 5\ninactive_file {cache}\n"}


def limited1(limit: str, used: int, cache: int) -> dict[str, str]:
    stat = f"inactive_file 7\ntotal_inactive_file {cache}\n"
    return {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": f"{used}\n", "memory.stat": stat}


@pytest.mark.parametrize(
    ("groups", "total", "free"),
    [
        ({"version2": {"/": limited("max\n", GIB, 0)}}, 24, 20),
        ({"version2": {"/": limited(f"{4 * GIB}\n", 3 * GIB, 2 * GIB)}}, 4, 3),
        ({"version1": {"memory": {"/": limited1(NO_LIMIT, GIB, 0)}}}, 24, 20),
        ({"version1": {"memory": {"/": limited1(f"{4 * GIB}\n", 3 * GIB, 0)}}}, 4, 1),
        ({"version1": {"memory": {"/": limited1(f"{4 * GIB}\n", 3 * GIB, GIB)}}, "group": "/kubepods/x"}, 4, 2),
        (
            {"version2": {"/a": limited(f"{8 * GIB}", 7 * GIB, 0), "/a/b": limited("max", GIB, 0)}, "group": "/a/b"},
            8,
            1,
        ),
        ({"version2": {"/": limited(f"{2 * GIB}", 3 * GIB, 0)}}, 2, 0),
        ({"version2": {"/": limited(f"{64 * GIB}", 0, 0)}}, 24, 20),
        ({"version1": {"cpu": {"/": limited1(f"{GIB}", 0, 0)}}}, 24, 20),
        ({}, 24, 20),
    ],
)
def test_the_tightest_memory_limit_of_all_groups_holds(
    groups: dict[str, Any], total: int, free: int, tmp_path: Path
) -> None:
    assert read_memory(kernel_of(tmp_path, **groups, meminfo=MEMINFO)) == Memory(total * GIB, free * GIB, 24 * GIB)


def test_a_kernel_that_says_little_is_no_error(tmp_path: Path) -> None:
    assert read_memory(tmp_path) is None
    assert cgroup_cpus(tmp_path) is None
    old = kernel_of(tmp_path / "old", meminfo="MemTotal: 8 kB\nMemFree: 4 kB\n")
    assert read_memory(old) == Memory(8192, 4096, 8192)


@pytest.mark.parametrize(
    "line", [b"99 1 0:42 / /mnt rw - tmpfs  rw", b"99 1 0:42 / /caf\xe9 rw - tmpfs x rw", b"", b"1 2"]
)
def test_a_mount_without_a_source_or_with_any_name_is_no_error(line: bytes, tmp_path: Path) -> None:
    root = kernel_of(tmp_path, version2={"/": {"cpu.max": "150000 100000\n"}})
    for file in (root / "proc" / "self" / "mountinfo", root / "proc" / "self" / "cgroup"):
        file.write_bytes(line + b"\n" + file.read_bytes())
    assert cgroup_cpus(root) == 1.5


def test_doctor_says_which_limit_holds() -> None:
    assert check_memory(Memory(4 * GIB, 3 * GIB, 24 * GIB))["message"] == (
        "4.0 GiB of 24.0 GiB: limited by the container, 3.0 GiB free"
    )
    assert check_memory(Memory(24 * GIB, 3 * GIB, 24 * GIB))["message"] == "24.0 GiB, 3.0 GiB free"
    assert check_memory(Memory(GIB, 10, GIB))["status"] == "warn"
    assert check_memory(None)["status"] == "pass"


@pytest.fixture
def own_group() -> Iterator[Path]:
    """Yield a memory group of this machine; skip where none can be made."""
    for place in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        group = Path(place) / f"pgolf-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            name = next(each for each in ("memory.limit_in_bytes", "memory.max") if (group / each).exists())
            (group / name).write_text(str(3 * GIB))
            yield group
        except (OSError, StopIteration):
            pytest.skip("a memory group cannot be limited here")
        finally:
            group.rmdir()
        return
    pytest.skip("a memory group cannot be made here")


@pytest.mark.real_process
def test_a_process_in_a_real_group_sees_its_limit(own_group: Path) -> None:
    program = "from trainer.recipe.cgroups import read_memory; print(read_memory().total)"
    command = [
        "sh",
        "-c",
        'echo $$ > "$1/cgroup.procs" && shift && exec "$@"',
        "sh",
        str(own_group),
        sys.executable,
        "-c",
        program,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(ended.stdout) <= 3 * GIB
