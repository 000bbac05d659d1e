"""The scratch folder is held by one process at a time and gone at the end, on network file systems too."""

import errno
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pgolf.data.scratch import scratch_folder
from pgolf.errors import UsageError


@pytest.mark.skipif(sys.platform != "linux", reason="open files are read from /proc")
@pytest.mark.parametrize("is_failed", [False, True])
def test_it_is_removed_where_a_deleted_file_keeps_its_folder_while_open(
    is_failed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS renames such a file to .nfsXXXX, so its folder is not empty."""
    rmdir = os.rmdir

    def rmdir_of_nfs(path: str | Path, *, dir_fd: int | None = None) -> None:
        for descriptor in Path("/proc/self/fd").iterdir():
            if descriptor.is_symlink() and str(descriptor.readlink()).startswith(f"{path}/"):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
        rmdir(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", rmdir_of_nfs)
    try:
        with scratch_folder(tmp_path / "out", ".prepare", "preparing", pytest.fail) as files:
            (files / "shard").touch()
            if is_failed:
                raise ValueError
    except ValueError:
        assert is_failed
    assert [*(tmp_path / "out").iterdir()] == []


def test_of_many_at_once_one_is_inside(tmp_path: Path) -> None:
    def enter(number: int) -> int:
        """Enter fifty times, if nobody is inside; return how often it was so."""
        entered = 0
        for _ in range(50):
            try:
                with scratch_folder(tmp_path / "out", ".prepare", "preparing", pytest.fail) as files:
                    assert [*files.iterdir()] == []
                    (files / str(number)).touch(exist_ok=False)
                    assert [path.name for path in files.iterdir()] == [str(number)]
                    entered += 1
            except UsageError as error:
                assert "another process is preparing" in str(error)
        return entered

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(enter, range(8))) >= 1
    assert [*(tmp_path / "out").iterdir()] == []
