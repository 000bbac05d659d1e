"""What launchers run jobs on in the tests, with real processes, and the ways in which each fails."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from pgolf.rundir import RunDirectory
from trainer.recipe.processes import process_start

SYSTEM_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


class Backend(Protocol):
    """A launcher and what it runs jobs on."""

    name: str
    reruns_by_itself: bool
    """Whether the backend starts an interrupted job again."""
    has_own_data: bool
    """Whether the shards are copied to the backend."""

    @property
    def launch(self) -> dict[str, Any]:
        """`launch` of a spec."""
        ...

    def interrupt(self, run: RunDirectory) -> None:
        """Preempt the job as this backend does."""
        ...

    def crash(self, run: RunDirectory) -> None:
        """Kill the trainer."""
        ...

    def trainers(self, run: RunDirectory) -> list[int]:
        """Return the pids of the run's trainer."""
        ...

    def data_folder(self, run: RunDirectory) -> Path:
        """Return the folder that the run reads its shards from."""
        ...


class LocalBackend:
    """The local launcher."""

    name = "local"
    reruns_by_itself = False
    has_own_data = False

    @property
    def launch(self) -> dict[str, Any]:
        return {"on": "local"}

    def interrupt(self, run: RunDirectory) -> None:
        os.kill(run.read_state()["pid"], signal.SIGTERM)

    def crash(self, run: RunDirectory) -> None:
        os.kill(run.read_state()["pid"], signal.SIGKILL)

    def trainers(self, run: RunDirectory) -> list[int]:
        return trainers_in(str(run.root.resolve()))

    def data_folder(self, run: RunDirectory) -> Path:
        return Path(run.read_run()["data_folder"])


class SshBackend:
    """An sshd of the test on this machine: other folders, a Python without pgolf."""

    name = "ssh"
    reruns_by_itself = False
    has_own_data = True

    def __init__(self, root: Path, python: Path, port: int, volume: Path | None = None) -> None:
        self.root, self.python, self.port = root, python, port
        self.volume = volume or root / "there"
        self.daemon: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def launch(self) -> dict[str, Any]:
        options = {"host": "lab", "config_file": str(self.config), "python": str(self.python)}
        return {"on": "ssh", "options": options | {"folder": str(self.volume), "poll_seconds": 0.3}}

    def there(self, run: RunDirectory) -> RunDirectory:
        """Return the run directory as the machine has it."""
        return RunDirectory(self.volume / "runs" / run.remote_id)

    def interrupt(self, run: RunDirectory) -> None:
        os.kill(json.loads((self.there(run).root / "job.json").read_text())["pid"], signal.SIGTERM)

    def crash(self, run: RunDirectory) -> None:
        os.kill(self.there(run).read_state()["pid"], signal.SIGKILL)

    def trainers(self, run: RunDirectory) -> list[int]:
        return trainers_in(str(self.there(run).root))

    def data_folder(self, run: RunDirectory) -> Path:
        return Path(self.there(run).read_run()["data_folder"])

    def die(self) -> None:
        """End the machine, with all its processes if they have a namespace of their own."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()
        wait_for_silence(self.port)

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every process of the machine, which has a namespace of its own."""
        assert self.daemon is not None
        (init,) = children_of(self.daemon.pid)
        own = Path(f"/proc/{init}/ns/pid").readlink()
        for path in Path("/proc").iterdir():
            with suppress(OSError):
                if path.name.isdigit() and (path / "ns" / "pid").readlink() == own:
                    os.kill(int(path.name), number)


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class ModalBackend:
    """A stand-in for Modal: it speaks its protocol and runs containers here, with a Python without pgolf."""

    name = "modal"
    reruns_by_itself = True
    has_own_data = True

    def __init__(self, root: Path, control: str) -> None:
        self.root, self.control = root, control

    @property
    def launch(self) -> dict[str, Any]:
        return {"on": "modal", "options": {"poll_seconds": 0.3, "commit_seconds": 0.5, "cores": 1}}

    def interrupt(self, run: RunDirectory) -> None:
        self.tell("preempt", call=call_id(run), grace="30")

    def crash(self, run: RunDirectory) -> None:
        trainers = self.trainers(run)
        assert trainers, "no trainer is at work"
        for pid in trainers:
            os.kill(pid, signal.SIGKILL)

    def trainers(self, run: RunDirectory) -> list[int]:
        return trainers_in(f"/tmp/pgolf/{run.remote_id}")

    def data_folder(self, run: RunDirectory) -> Path:
        return self.root / "volumes" / self.volume("pgolf-data") / str(run.read_run()["data_sha256"])

    def volume(self, name: str) -> str:
        """Return the name of the folder behind a Volume."""
        return str(self.state()["volumes"][name])

    def state(self) -> Any:
        """Return all requests that the server has received."""
        with urllib.request.urlopen(f"{self.control}/state") as answer:
            return json.load(answer)

    def tell(self, what: str, **query: str) -> None:
        """Make the server fail in some way."""
        request = urllib.request.Request(f"{self.control}/{what}?{urllib.parse.urlencode(query)}", method="POST")
        urllib.request.urlopen(request).close()


def call_id(run: RunDirectory) -> str:
    return str(json.loads(run.handle.read_text())["call_id"])


def trainers_in(folder: str) -> list[int]:
    """Return the pids of living trainers whose command line names a folder."""
    processes = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [pid for pid in processes if process_start(pid) is not None and is_trainer(pid, folder)]


def is_trainer(pid: int, folder: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False
    return "trainer" in words and folder in words and "--score" not in words


@contextmanager
def modal_server(
    root: Path, python: Path, monkeypatch: pytest.MonkeyPatch, token: str = "as-fake"
) -> Iterator[ModalBackend]:
    """Start a stand-in for Modal and set the environment so that the modal package uses it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("the stand-in for Modal needs root and unshare, for its containers")
    root.mkdir(parents=True)
    with (root / "log").open("w") as log:
        command = [sys.executable, "-m", "tests.standin.modal_server"]
        command += ["--state", str(root), "--container-python", str(python), "--token-secret", token]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout is not None
    try:
        word, url, control = server.stdout.readline().split()
        assert word == "READY"
        settings = {"SERVER_URL": url, "TOKEN_ID": "ak-fake", "TOKEN_SECRET": token, "ENVIRONMENT": "main"}
        for name, value in settings.items():
            monkeypatch.setenv(f"MODAL_{name}", value)
        monkeypatch.setenv("MODAL_CONFIG_PATH", str(root / "no-such-file"))
        yield ModalBackend(root, control)
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


class SlurmBackend:
    """A real Slurm with one node and without accounting."""

    name = "slurm"
    reruns_by_itself = True
    has_own_data = False

    @property
    def launch(self) -> dict[str, Any]:
        return {"on": "slurm"}

    def interrupt(self, run: RunDirectory) -> None:
        """Requeue the job. Slurm would delay its next start; here it may start at once."""
        number = json.loads(run.handle.read_text())["job"]
        subprocess.run(["scontrol", "requeue", number], check=True)
        deadline = time.monotonic() + 60
        while b"JobState=PENDING" not in subprocess.check_output(["scontrol", "show", "job", number]):
            assert time.monotonic() < deadline, "the job was not requeued"
            time.sleep(0.1)
        subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], check=True)

    def crash(self, run: RunDirectory) -> None:
        os.kill(run.read_state()["pid"], signal.SIGKILL)

    def trainers(self, run: RunDirectory) -> list[int]:
        return trainers_in(str(run.root.resolve()))

    def data_folder(self, run: RunDirectory) -> Path:
        return Path(run.read_run()["data_folder"])


SLURM_CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
JobRequeue=1
KillWait=20
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} Gres=gpu:fake:2 State=UNKNOWN
PartitionName=lab Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


@contextmanager
def one_node_slurm(root: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmBackend]:
    """Start Slurm's daemons on free ports, with the plugin where pgolf finds it."""
    missing = [
        name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name, path=SYSTEM_PATH) is None
    ]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"Slurm's daemons are not here: {', '.join(missing) or 'not root'} (Debian: slurmctld slurmd munge)"
        )
    scancel = str(shutil.which("scancel", path=SYSTEM_PATH))
    for name in ("state", "spool"):
        (root / name).mkdir(parents=True)
    (root / "munge.key").write_bytes(os.urandom(1024))
    (root / "munge.key").chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    conf = root / "slurm.conf"
    ports = {"controller_port": free_port(), "node_port": free_port()}
    conf.write_text(SLURM_CONF.format(root=root, host=host, cores=len(os.sched_getaffinity(0)), **ports))
    for index in range(2):
        subprocess.run(["mknod", root / f"gpu{index}", "c", "1", "3"], check=True)
    (root / "gres.conf").write_text(f"Name=gpu Type=fake File={root}/gpu[0-1]\n")
    (root / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
    monkeypatch.setenv("PATH", SYSTEM_PATH)
    monkeypatch.setenv("SLURM_CONF", str(conf))
    monkeypatch.setenv("PYTHONPATH", str(plugin))
    munge = ["munged", "-F", "--force", f"--socket={root}/munge.socket", f"--key-file={root}/munge.key"]
    munge += [f"--pid-file={root}/munge.pid", f"--log-file={root}/munge.log", f"--seed-file={root}/munge.seed"]
    commands = [munge, ["slurmctld", "-D", "-c", "-f", str(conf)], ["slurmd", "-D", "-f", str(conf)]]
    with (root / "daemons.log").open("w") as log:
        daemons = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
    try:
        wait_for_node(root)
        yield SlurmBackend()
    finally:
        subprocess.run([scancel, "--me"], check=False, capture_output=True)
        time.sleep(0.5)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()


def wait_for_node(root: Path) -> None:
    """Wait until the node accepts jobs."""
    deadline = time.monotonic() + 60
    while True:
        ended = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
        if ended.stdout.strip() in ("idle", "mixed"):
            return
        said = (root / "daemons.log").read_text()[-2000:]
        assert time.monotonic() < deadline, f"{ended.stdout}{ended.stderr}{said}"
        time.sleep(0.2)


OWN_NAMESPACES = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts")


@contextmanager
def pod(root: Path, python: Path, volume: Path | None = None) -> Iterator[SshBackend]:
    """Start an sshd as on a machine of its own: own host name and pids, and a folder that others may share."""
    prefix = [*OWN_NAMESPACES, "sh", "-c", f'hostname {root.name} && exec "$@"', "sh"]
    probe = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"namespaces cannot be made here: {probe.stderr.decode().strip()}")
    with sshd(root, python, volume, prefix) as found:
        yield found


@contextmanager
def sshd(
    root: Path, python: Path, volume: Path | None = None, prefix: Sequence[str] = (), login: str = ""
) -> Iterator[SshBackend]:
    """Start an sshd on a free port of the loopback interface, with new keys.

    Args:
        volume: Folder for code, data and runs.
        prefix: Words before the command that starts sshd.
        login: Shell commands that run before the command of every connection.
    """
    server = shutil.which("sshd", path=SYSTEM_PATH)
    if server is None or shutil.which("ssh") is None:
        pytest.skip("OpenSSH is not installed here (Debian: openssh-server, openssh-client)")
    if os.geteuid() != 0:
        pytest.skip("sshd needs root here")
    root.mkdir(parents=True)
    for key in ("host", "identity", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / key)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    backend = SshBackend(root, python, port, volume)
    forced = "" if not login else f"ForceCommand {login}\n"
    (root / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {root}/host\nAuthorizedKeysFile {root}/identity.pub\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\n{forced}"
    )
    backend.config.write_text(
        f"Host lab\n HostName 127.0.0.1\n Port {port}\n User root\n IdentityFile {root}/identity\n"
        f" IdentitiesOnly yes\n UserKnownHostsFile {root}/known\n StrictHostKeyChecking accept-new\n"
    )
    command = [*prefix, server, "-D", "-f", str(root / "sshd_config"), "-E", str(root / "sshd.log")]
    daemon = backend.daemon = subprocess.Popen(command)
    try:
        wait_for_port(port)
        yield backend
    finally:
        daemon.kill()  # `unshare` ignores SIGTERM
        daemon.wait()
        end_supervisors(backend.volume)


def end_supervisors(there: Path) -> None:
    """Kill the supervisors that a test has left."""
    for job in there.glob("runs/*/*/job.json"):
        found = json.loads(job.read_text())
        if process_start(found["pid"]) == found["started"]:
            os.kill(found["pid"], signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_silence(port: int) -> None:
    """Wait until nothing listens on a port."""
    deadline = time.monotonic() + 10
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
        assert time.monotonic() < deadline, f"something listens on {port}"
        time.sleep(0.05)


def wait_for_port(port: int) -> None:
    """Wait until something listens on a port."""
    deadline = time.monotonic() + 10
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"nothing listens on {port}"
        time.sleep(0.05)
