"""A file system without flock and hard links, as Lustre, Colab's Drive and some network mounts are."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "standin" / "poor_filesystem.c"
# How such file systems answer.
ANSWERS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL, errno.ENOLCK)


def poor_environment(folder: Path, answer: int = errno.ENOSYS) -> dict[str, str]:
    """Return the environment of a process for which every file system is poor; skip the test without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is not installed")
    library = folder / "poor_filesystem.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return os.environ | {"LD_PRELOAD": str(library), "FLOCK_ERRNO": str(answer), "LINK_ERRNO": str(answer)}
