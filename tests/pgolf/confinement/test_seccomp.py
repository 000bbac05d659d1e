"""The numbers of system calls, against the kernel's own headers."""

import re
from pathlib import Path

import pytest

from pgolf.confinement import seccomp

HEADERS = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h"))
LINE = re.compile(r"#define __NR(?:3264)?_(\w+)\s+(\d+)")


@pytest.mark.parametrize(("column", "header"), list(enumerate(HEADERS)), ids=["x86_64", "aarch64"])
def test_the_numbers_are_the_kernels(column: int, header: Path) -> None:
    if not header.is_file():
        pytest.skip("needs the kernel's headers (linux-libc-dev)")
    numbers = {name: int(number) for name, number in LINE.findall(header.read_text())}
    tables = seccomp.REFUSED | seccomp.NEW_PROCESS | seccomp.SIGNALS
    tables |= {"socket": seccomp.SOCKET, "clone": seccomp.CLONE, "clone3": seccomp.CLONE3}
    tables |= {"openat2": seccomp.OPENAT2} | {name: of for name, (of, _) in seccomp.OPEN.items()}
    tables |= {name: of for name, (of, _) in seccomp.OF_THE_CALLER.items()}
    tables |= {name: of for name, (of, _, _) in seccomp.REFUSED_OPTIONS.items()}
    assert {name: of[column] for name, of in tables.items()} == {name: numbers.get(name) for name in tables}
