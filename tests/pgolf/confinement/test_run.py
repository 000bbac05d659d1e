"""Confined commands: they do their work, reach nothing else, and end when they must. At each level, as two users."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import pgolf.confinement.run as confinement
from pgolf.confinement.answers import answer_file, remove_tree, temporary_folder
from pgolf.confinement.run import Ended, Level, Limits, run_confined
from pgolf.errors import MachineError

ESCAPES = Path(__file__).with_name("escapes.py")
ROOT = Path(confinement.__file__).parents[2]
LEVELS: dict[str, tuple[Level, str | None]] = {
    "bubblewrap": ("bubblewrap", None),
    "landlock": ("landlock", "own"),
    "landlock without namespaces": ("landlock", "none"),
}
"""Ways to be confined, with who makes the namespaces."""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="confinement needs Linux")


@cache
def missing(level: Level, namespaces: str | None) -> str | None:
    """Return why a way to be confined is not to be had on this machine; None if it is."""
    with temporary_folder("pgolf-test-") as folder, pytest.MonkeyPatch.context() as patch:
        if namespaces:
            patch.setattr(confinement, "namespaces_of", lambda _: iter([namespaces]))
        try:
            run("", folder, level)
        except MachineError as error:
            return str(error)
    return None


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Level:
    """Each way to be confined; skipped where the machine does not have it."""
    level, namespaces = LEVELS[request.param]
    if reason := missing(level, namespaces):
        pytest.skip(reason)
    if namespaces:
        monkeypatch.setattr(confinement, "namespaces_of", lambda _: iter([namespaces]))
    return level


@pytest.fixture
def writes(tmp_path: Path) -> Path:
    folder = tmp_path / "answers"
    folder.mkdir()
    return folder


def run(code: str, writes: Path, level: Level, *arguments: str, reads: tuple[Path, ...] = (), **limits: Any) -> Ended:
    command = [sys.executable, "-P", "-c", code, *arguments]
    return run_confined(command, writes=writes, reads=reads, limits=Limits(**{"seconds": 60} | limits), levels=[level])


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Yield what a user has: a secret, a server, sockets."""
    secret = tmp_path / "home" / ".ssh" / "id"
    secret.parent.mkdir(parents=True)
    secret.write_text("secret")
    with suppress(OSError):  # not every file system has them
        os.setxattr(secret, "user.note", b"secret")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as named:
        named.bind(str(tmp_path / "s"))
        named.listen()
        with socket.socket(socket.AF_UNIX) as abstract:
            abstract.bind(f"\0pgolf-test-{os.getpid()}")
            abstract.listen()
            yield {
                "port": server.getsockname()[1],
                "socket": str(tmp_path / "s"),
                "abstract": f"pgolf-test-{os.getpid()}",
                "secret": str(secret),
                "outside": str(tmp_path / "written"),
                "pid": os.getpid(),
                "guard": None,
                "code": [confinement.__file__, json.__file__],
            }


def test_nothing_outside_can_be_reached(
    level: Level, writes: Path, outside: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "token")
    inherited = os.open(outside["secret"], os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        ended = run_confined(
            [sys.executable, "-P", str(ESCAPES), json.dumps(outside)],
            writes=writes,
            reads=[ESCAPES, *map(Path, outside["code"])],
            limits=Limits(60),
            levels=[level],
        )
    finally:
        os.close(inherited)
    assert ended.failure is None, ended
    tried = json.loads(ended.out)
    assert tried["reached"] == {}
    assert len(tried["refused"]) > 25
    assert Path(outside["secret"]).read_text() == "secret"
    assert Path(outside["secret"]).stat().st_mode & 0o777 == 0o644
    assert not (tmp_path / "written").exists()
    assert {path.name for path in writes.iterdir()} <= {"sparse"}


def test_the_same_attempts_succeed_without_confinement(writes: Path, outside: dict[str, Any], tmp_path: Path) -> None:
    """Otherwise the test above would show nothing."""
    tried = ("read_a_secret", "write_outside", "connect", "use_an_abstract_socket", "signal_the_parent")
    code = f"import sys; sys.path.insert(0, {str(ESCAPES.parent)!r}); import escapes\n"
    code += f"for name in {tried!r}: assert escapes.ATTEMPTS[name]() is not None, name"
    command = [sys.executable, "-P", "-c", code, json.dumps(outside)]
    ended = run_confined(command, writes=writes, limits=Limits(60), levels=["none"])
    assert ended.failure is None, ended
    assert ended.confinement.level == "none"
    assert not ended.confinement.seccomp


def test_a_command_does_its_work(level: Level, writes: Path, tmp_path: Path) -> None:
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "text").write_text("named")
    code = """
import os, sys, tempfile, threading, zlib
from pathlib import Path
text = Path(sys.argv[1], "text").read_text()
thread = threading.Thread(target=lambda: Path("sub").mkdir())
thread.start(), thread.join()
Path("sub/draft").write_text(text)
Path("sub/draft").rename("answer")
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "x").write_bytes(os.urandom(10))
print(os.getcwd(), sorted(os.environ))
print("to stderr", file=sys.stderr)
sys.exit(3)
"""
    ended = run(code, writes, level, str(tmp_path / "named"), reads=(tmp_path / "named",))
    assert ended.code == 3, ended
    assert ended.out == f"{writes} ['HOME', 'LC_CTYPE', 'PATH', 'TMPDIR']\n"
    assert ended.failure == "ended with exit code 3: to stderr"
    assert (writes / "answer").read_text() == "named"
    assert ended.confinement.level == level
    assert ended.confinement.seccomp


FORKS = """
import os, time
for _ in range(100):  # no bomb: if the confinement fails, this must not harm the machine
    if os.fork() == 0:
        time.sleep(5)
        os._exit(0)
time.sleep(5)
"""
DAEMON = """
import os, time, sys
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                open(sys.argv[1], "a").write("x")
                time.sleep(0.01)
except PermissionError:
    open(sys.argv[1], "a").write("x")
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
"""
EXEC_FROM_A_THREAD = """
import os, sys, threading
beat = "import sys, time" + chr(10) + "while True: open(sys.argv[1], 'a').write('x'); time.sleep(0.01)"
threading.Thread(target=os.execv, args=(sys.executable, [sys.executable, "-c", beat, *sys.argv[1:]])).start()
threading.Event().wait()
"""
"""The thread takes the number of the process, but not the signal for the death of its parent."""
ENDLESS = {"a daemon": DAEMON + "time.sleep(100)", "exec from a thread": EXEC_FROM_A_THREAD}
EXCESSES: dict[str, tuple[str, dict[str, Any], set[str | None]]] = {
    "time": ("import time; time.sleep(100)", {"seconds": 1}, {"time"}),
    "time, ignoring SIGTERM": (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(100)",
        {"seconds": 1},
        {"time"},
    ),
    "output": ("while True: print('x' * 100_000)", {"output_bytes": 1 << 20}, {"output"}),
    "errors": ("import os\nwhile True: os.write(2, b'x' * 100_000)", {"output_bytes": 1 << 20}, {"output"}),
    "memory": ("x = []\nwhile True: x.append(bytearray(10_000_000))", {"memory_bytes": 300_000_000}, {None, "memory"}),
    "shared memory": (
        "import mmap, time\nx = []\n"
        "while True: x.append(mmap.mmap(-1, 1 << 23)); x[-1].write(b'x' * (1 << 23)); time.sleep(0.02)",
        {"memory_bytes": 300_000_000},
        {"memory"},
    ),
    "one large file": ("open('x', 'wb').write(bytes(5_000_000))", {"answer_bytes": 1_000_000}, {None, "files"}),
    "files that are large together": (
        "import time\nfor n in range(50): open(str(n), 'wb').write(b'x' * 500_000); time.sleep(0.02)",
        {"answer_bytes": 1_000_000},
        {"files"},
    ),
    "files without a name": (
        "import os, time\nx = []\nfor n in range(50):\n  x.append(open('x', 'wb')); x[-1].write(b'x' * 900_000)\n"
        "  os.unlink('x'); time.sleep(0.02)",
        {"answer_bytes": 1_000_000},
        {"files"},
    ),
    "many files": (
        "import time\nfor n in range(100_000): open(str(n), 'w').close(); n % 100 or time.sleep(0.01)",
        {"answer_files": 500},
        {"files"},
    ),
    "deep folders": (
        "import os, time\nwhile True: os.mkdir('x'); os.chdir('x'); time.sleep(0.0005)",
        {"answer_files": 200},
        {None, "files"},
    ),
    "folders with long names": (
        "import os, time\nfor _ in range(30): os.mkdir('x' * 200); os.chdir('x' * 200)\ntime.sleep(5)",
        {},
        {"files"},
    ),
    "hidden folder": ("import os, time\nos.mkdir('x', 0); time.sleep(0.5)", {}, {None, "files"}),
    "processes": (FORKS, {"processes": 20, "seconds": 4}, {None, "processes"}),
    "threads": (
        "import threading, time\nthreading.stack_size(65536)\n"
        "for _ in range(1_500): threading.Thread(target=time.sleep, args=(5,), daemon=True).start()\ntime.sleep(5)",
        {"seconds": 20},
        {None, "threads", "time"},
    ),
}


QUICK = ("output", "memory", "files without a name", "processes")


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=() if each in QUICK else pytest.mark.slow) for each in EXCESSES]
)
def test_excess_ends_the_command(name: str, level: Level, tmp_path: Path) -> None:
    code, limits, stopped = EXCESSES[name]
    begin = time.monotonic()
    with temporary_folder("pgolf-test-") as writes:
        ended = run(code, writes, level, **limits)
        assert ended.stopped in stopped, ended
        assert ended.code != 0 or name == "hidden folder"
        assert len(ended.out) + len(ended.err) < 2 << 20
    assert not writes.exists()
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize(
    ("code", "stopped"),
    [
        pytest.param(DAEMON, None, id="a daemon"),
        pytest.param(EXEC_FROM_A_THREAD, "time", id="exec from a thread", marks=pytest.mark.slow),
    ],
)
def test_nothing_outlives_the_command(code: str, stopped: str | None, level: Level, writes: Path) -> None:
    ended = run(code, writes, level, str(writes / "beats"), seconds=2 if stopped else 60)
    assert ended.stopped == stopped
    size = (writes / "beats").stat().st_size
    time.sleep(0.2)
    assert (writes / "beats").stat().st_size == size


FAILING_GUARD = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pgolf.confinement import guard
def space_used(folder, most):
    if os.path.exists(folder + "/beats"):
        raise ValueError("no number")
    return 0, 0
guard.space_used = space_used
guard.main()
"""


def test_a_guard_that_fails_ends_the_command_and_says_why(
    level: Level, writes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confinement, "START_GUARD", FAILING_GUARD)
    ended = run(EXEC_FROM_A_THREAD, writes, level, str(writes / "beats"), seconds=30)
    assert ended.failure == "ended with exit code -9: its guard failed: ValueError: no number"
    assert [words for words in commands() if str(writes) in words] == []


@pytest.mark.parametrize("endless", ENDLESS)
def test_everything_dies_with_the_process_that_waits(
    endless: str, level: Level, writes: Path, request: pytest.FixtureRequest
) -> None:
    _, namespaces = LEVELS[request.node.callspec.params["level"]]
    code = f"""
from pathlib import Path
import sys
import pgolf.confinement.run as confinement
if {namespaces!r}:
    confinement.namespaces_of = lambda _: iter([{namespaces!r}])
confinement.run_confined(
    [sys.executable, "-c", {ENDLESS[endless]!r}, {str(writes / "beats")!r}], writes=Path({str(writes)!r}),
    limits=confinement.Limits(100), levels=[{level!r}],
)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as waiting:
        deadline = time.monotonic() + 30
        while not (writes / "beats").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        waiting.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while [words for words in commands() if str(writes) in words]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def commands() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


WITHOUT_LANDLOCK = """
import json, struct, sys
from pathlib import Path
import pgolf.confinement.run as confinement
from pgolf.confinement import kernel, seccomp
refused = ((0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x50000 | 38), (0x06, 0, 0, 0x7FFF0000))
kernel.control_process(kernel.PR_SET_NO_NEW_PRIVS, 1)
seccomp.install_filter(b"".join(struct.pack("=HBBI", *each) for each in refused))
facts, reads, writes, level = json.loads(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
ended = confinement.run_confined(
    [sys.executable, *facts], writes=writes, reads=[*map(Path, reads)], limits=confinement.Limits(60), levels=[level]
)
print(json.dumps([ended.out, ended.failure, ended.confinement.as_json()]))
"""
"""Calls run_confined in a process to which the kernel says that it has no Landlock."""


def without_landlock(
    command: list[str], reads: list[str], writes: Path, level: Level
) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    arguments = [json.dumps(command), json.dumps(reads), str(writes), level]
    whole = [sys.executable, "-c", WITHOUT_LANDLOCK, *arguments]
    return subprocess.run(whole, env=environment, capture_output=True, text=True, check=False)


def test_bubblewrap_confines_without_landlock(writes: Path, outside: dict[str, Any]) -> None:
    if reason := missing("bubblewrap", None):
        pytest.skip(reason)
    command, reads = [str(ESCAPES), json.dumps(outside)], [str(ESCAPES), *outside["code"]]
    ended = without_landlock(command, reads, writes, "bubblewrap")
    assert ended.returncode == 0, ended.stderr
    out, failure, used = json.loads(ended.stdout)
    assert failure is None
    assert (used["level"], used["landlock"], used["seccomp"]) == ("bubblewrap", None, True)
    # The special files and links lie in the answer folder; answer_file and the readers of answers refuse them.
    assert set(json.loads(out)["reached"]) <= {"make_special_files"}
    assert Path(outside["secret"]).read_text() == "secret"


def test_a_machine_with_neither_refuses(writes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = without_landlock(["-c", "print(1)"], [], writes, "landlock")
    assert "MachineError" in ended.stderr
    assert "cannot confine strangers' code" in ended.stderr
    assert "the kernel has no Landlock" in ended.stderr
    monkeypatch.setattr(confinement, "SEARCH_PATH", "/nowhere")
    with pytest.raises(MachineError, match=r"bwrap is not installed.*--unconfined") as error:
        run("print(1)", writes, "bubblewrap")
    assert error.value.exit_code == 6


def test_another_system_is_told_plainly(writes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(MachineError, match=r"needs Linux; this is darwin.*--unconfined"):
        run_confined([sys.executable, "-c", "print(1)"], writes=writes, limits=Limits(60))


@pytest.mark.slow
def test_a_folder_is_removed_however_deep(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1_200):
        os.mkdir("x", dir_fd=here)
        below = os.open("x", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(folder)
    assert list(tmp_path.iterdir()) == []


def test_no_name_or_mode_keeps_a_folder_from_being_removed(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    for number in range(40):
        (folder / f".removed-{number}" / "x" / "y").mkdir(parents=True)
        (folder / str(number) / "x").mkdir(parents=True)
    (folder / "sealed" / "within").mkdir(parents=True)
    (folder / "sealed" / "within").chmod(0)
    (folder / "sealed").chmod(0)
    remove_tree(folder)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_is_kept_if_its_folder_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        pytest.warns(UserWarning, match=r"pgolf-test-\w+ was not removed: .*; remove it yourself"),
        temporary_folder("pgolf-test-") as folder,
    ):
        folder.rename(folder.with_name("elsewhere"))


def test_an_answer_behind_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "whole").write_text("x")
    (folder / "link").symlink_to("../secret")
    (folder / "inner").symlink_to(tmp_path)
    assert answer_file(folder, "whole").read_text() == "x"
    for name in ("link", "inner/secret"):
        with pytest.raises(ValueError, match="is a link"):
            answer_file(folder, name)


def test_another_user_is_confined_as_well(writes: Path, outside: dict[str, Any], tmp_path: Path) -> None:
    """With neither capabilities nor a home folder, as nobody."""
    python = "/usr/bin/python3"
    if os.getuid() or not shutil.which("setpriv"):
        pytest.skip("needs root to become nobody")
    levels = ["bubblewrap", "landlock"] if shutil.which("bwrap") else ["landlock"]
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", python, "-B"]
    code = """
import json, sys
from pathlib import Path
from pgolf.confinement.run import Limits, run_confined
found = []
for level in sys.argv[3:]:
    ended = run_confined(
        [sys.executable, *json.loads(sys.argv[1])], writes=Path(sys.argv[2]), reads=[Path(json.loads(sys.argv[1])[0])],
        limits=Limits(60), levels=[level],
    )
    found.append([ended.confinement.level, json.loads(ended.out)])
print(json.dumps(found))
"""
    with temporary_folder("pgolf-test-") as folder:
        folder.chmod(0o755)
        shutil.copytree(ROOT / "pgolf" / "confinement", folder / "pgolf" / "confinement")
        shutil.copytree(ROOT / "trainer" / "recipe", folder / "trainer" / "recipe")
        for name in ("pgolf/__init__.py", "pgolf/errors.py", "trainer/__init__.py"):
            shutil.copyfile(ROOT / name, folder / name)
        shutil.copyfile(ESCAPES, folder / "escapes.py")
        (folder / "answers").mkdir()
        shutil.chown(folder / "answers", 65534, 65534)
        secret = folder / "secret"
        secret.write_text("secret")
        shutil.chown(secret, 65534, 65534)
        facts = outside | {"secret": str(secret), "code": []}
        command = [str(folder / "escapes.py"), json.dumps(facts)]
        ended = subprocess.run(
            [*become, "-c", code, json.dumps(command), str(folder / "answers"), *levels],
            cwd="/", env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if "PermissionError" in ended.stderr and python not in ended.stderr:
            pytest.fail(ended.stderr)
        assert ended.returncode == 0, ended.stderr
        for level, tried in json.loads(ended.stdout):
            assert tried["reached"] == {}, level
            assert len(tried["refused"]) > 25, level
        assert secret.read_text() == "secret"


@pytest.mark.slow
def test_torch_works(level: Level, writes: Path) -> None:
    code = """
import torch
torch.manual_seed(0)
x = torch.randn(8, 4, 256, 64)
y = torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
torch.save(y, "y.pt")
print(float(torch.load("y.pt").double().sum() - y.double().sum()), torch.randn(500, 500).matmul(torch.eye(500)).shape)
"""
    ended = run(code, writes, level)
    assert ended.failure is None, ended
    assert ended.out == "0.0 torch.Size([500, 500])\n"
