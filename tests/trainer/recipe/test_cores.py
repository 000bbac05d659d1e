"""Threads: what run.json pins, else launch.threads, else OMP_NUM_THREADS, else the allowed cores."""

import os
from pathlib import Path

import pytest

from tests.trainer.recipe.kernel import kernel_of
from trainer.recipe import cores
from trainer.recipe.cgroups import cgroup_cpus
from trainer.recipe.cores import allowed_cores, script_thread_count, thread_count


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})


def limit_cgroup(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Make the cgroup of this process say `text` in cpu.max."""
    root = kernel_of(folder, {"/": {"cpu.max": text}})
    monkeypatch.setattr(cores, "cgroup_cpus", lambda _: cgroup_cpus(root))


@pytest.mark.parametrize(
    ("cpu_max", "expected"),
    [("max 100000\n", 4), ("250000 100000\n", 3), ("50000 100000\n", 1), ("900000 100000\n", 4)],
)
def test_the_cgroup_limits_the_cores(
    cpu_max: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_cgroup(tmp_path, monkeypatch, cpu_max)
    assert allowed_cores() == expected


def test_each_source_of_the_thread_count_beats_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_cgroup(tmp_path, monkeypatch, "max 100000\n")
    assert [thread_count({}, processes) for processes in (1, 2, 3, 8)] == [4, 2, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_count({"threads": None, "environment": None}, 2) == 3
    assert thread_count({"threads": 5}, 2) == 5
    assert thread_count({"threads": 5, "environment": {"threads": 7}}, 2) == 7


def test_a_scripts_own_variable_comes_first_and_several_processes_get_one_thread_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_cgroup(tmp_path, monkeypatch, "max 100000\n")
    assert [script_thread_count({}, processes, {}) for processes in (1, 2)] == [None, 1]
    limit_cgroup(tmp_path, monkeypatch, "200000 100000\n")
    assert [script_thread_count({}, processes, {}) for processes in (1, 2)] == [2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert script_thread_count({"threads": None}, 2, {}) == 3
    assert script_thread_count({"threads": 5}, 2, {}) == 5
    assert script_thread_count({"threads": 5, "environment": {"threads": 7}}, 2, {}) == 7
    assert script_thread_count({"threads": 5}, 2, {"OMP_NUM_THREADS": "2"}) == 2


@pytest.mark.parametrize(("text", "expected"), [("6,2", 6), ("", 4), ("many", 4), ("0", 4), ("-1", 4)])
def test_omp_num_threads_that_is_no_number_is_ignored(
    text: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_cgroup(tmp_path, monkeypatch, "max 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert thread_count({}, 1) == expected
