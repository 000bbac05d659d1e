"""Errors of the operating system say where, what and what to do."""

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

from trainer.recipe.os_errors import describe_os_error


def test_a_full_disk_says_what_is_left_on_it(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "absent" / "a.bin"))
    error.add_note("1,234 bytes are to be written")
    said = describe_os_error(error)
    found = re.fullmatch(
        rf"{tmp_path}/absent/a\.bin: No space left on device, 1,234 bytes are to be written, ([\d,]+) bytes are free\. "
        r"Free some space on this disk, then run the same command again",
        said,
    )
    assert found is not None, said
    assert abs(int(found[1].replace(",", "")) - shutil.disk_usage(tmp_path).free) < 1 << 30


def test_a_disk_without_inodes_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    fields = [*real[:5], 1000, 0, 0, *real[8:10]]
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    said = describe_os_error(OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "a")))
    assert "the disk has no inode for another file" in said


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EMFILE, "Too many open files"), r"Too many open files\. Raise the limit .*ulimit -n"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a"), r"a: Disk quota exceeded\. Free some space or ask"),
        (OSError(errno.EIO, "Input/output error", b"a"), "a: Input/output error"),
        (OSError("a library's own words"), "/place: a library's own words"),
    ],
)
def test_each_kind_has_its_advice(error: OSError, expected: str) -> None:
    place = "" if error.errno == errno.EMFILE else "/place"
    assert re.match(expected, describe_os_error(error, place))
