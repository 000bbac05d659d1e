"""The Modal launcher with a server that speaks Modal's protocol: what it requests, and what can go wrong."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from launchers.modal_cloud import MAX_SECONDS, check_gpu, limit_of
from launchers.modal_image import PINNED
from launchers.modal_worker import Mirror
from pgolf.launching import Job
from pgolf.rundir import RunDirectory
from tests.conftest import LONG
from tests.launchers.backends import ModalBackend, call_id, modal_server
from tests.launchers.user import SHORT, User

ROOT = Path(__file__).parent.parent.parent
EIGHT = ("--set", "recipe.schedule.batch_tokens=512", "--set", "recipe.schedule.micro_batch_tokens=64")
TOKEN = "as-planted-secret-4711"


@pytest.fixture
def backend(tmp_path: Path, bare_python: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModalBackend]:
    with modal_server(tmp_path / "modal", bare_python, monkeypatch, TOKEN) as found:
        yield found


def with_launch(user: User, **changes: Any) -> None:
    """Change `launch` in the user's backend.yaml."""
    launch = user.backend.launch
    options = changes.pop("options", {})
    (user.folder / "backend.yaml").write_text(
        json.dumps({"launch": launch | changes | {"options": launch["options"] | options}})
    )


def job(tmp_path: Path, **facts: Any) -> Job:
    return Job(run=RunDirectory(tmp_path), gpu="H100!:8", processes=8, options={}, is_detached=True, **facts)


def test_the_worker_needs_nothing_but_modal_and_the_standard_library(tmp_path: Path) -> None:
    """There is no pgolf in a container; importing the worker must need neither it nor torch."""
    program = (
        "import sys\n"
        "for name in ('pgolf', 'torch', 'numpy', 'pydantic', 'rich', 'typer', 'yaml'): sys.modules[name] = None\n"
        "import launchers.modal_worker\n"
        "own = sorted(name for name in sys.modules if name.partition('.')[0] in ('launchers', 'trainer'))\n"
        "assert own == ['launchers', 'launchers.modal_worker', 'launchers.ssh_agent'], own\n"
    )
    # rich and typer are blocked only where modal itself does not import them.
    program = program.replace("'pydantic', 'rich', 'typer', 'yaml'", "'pydantic', 'yaml'")
    subprocess.run([sys.executable, "-P", "-c", program], check=True, env={"PYTHONPATH": str(ROOT)}, cwd=tmp_path)


def test_what_runs_there_is_what_is_tested_here() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {name: pinned[name] for name in PINNED if name in pinned} == {n: v for n, v in PINNED.items() if n in pinned}
    for name, locked in PINNED.items():
        assert version(name).partition("+")[0] == locked, name


def test_what_is_asked_of_modal(user: User, backend: ModalBackend) -> None:
    """Eight exact H100 for the time that five dollars pay for; pgolf is not sent, and nothing is compiled."""
    with_launch(user, gpu="H100!:8", options={"secrets": ["wandb"], "memory_gib": 64, "cores": 32})
    subprocess.run(
        [sys.executable, "-m", "modal", "secret", "create", "wandb", "WANDB_API_KEY=planted-wandb-key"],
        check=True, capture_output=True,
    )  # fmt: skip
    started = user.run(*SHORT, *EIGHT, "--set", "spend.usd=5", "--yes", "--detach")
    if started.code == 3:
        pytest.fail(started.err)
    run = RunDirectory(Path(started.json["runs"][0]["run_dir"]))
    user.wait_for_end(run)
    (function,) = (f for f in backend.state()["functions"].values() if f["name"] == "run_job")
    hourly = 8 * 3.9492 + 32 * 0.04716 + 64 * 0.008
    assert (function["gpu"], function["gpu_count"]) == ("H100!", 8)
    assert function["timeout"] == int(3600 * 5 / hourly)
    assert (function["single_use_containers"], function["cpu_milli"], function["memory_mb"]) == (True, 32_000, 65_536)
    assert function["retries"]["retries"] == 3
    assert {(v["name"], v["path"]) for v in function["volumes"]} == {("pgolf-runs", "/runs"), ("pgolf-data", "/data")}
    assert function["secret_keys"] == ["WANDB_API_KEY"]
    image = "\n".join(function["image"])
    assert all(f"{name}=={PINNED[name]}" in image for name in ("torch", "numpy", "sentencepiece", "brotli"))
    assert "--only-binary :all:" in image
    assert not [name for name in function["files"] if "pgolf/cli" in name or name.endswith("launching.py")]
    (row,) = user("status", "--json").json["runs"]
    assert "torch sees 0 of 8 CUDA devices" in row["error"]
    planted = [
        path for path in user.folder.rglob("*") if path.is_file() and
        any(word in path.read_bytes() for word in (TOKEN.encode(), b"planted-wandb-key"))
    ]  # fmt: skip
    assert not planted
    assert TOKEN not in started.err + started.out + user("logs", run.run_id).out


def test_wrong_and_missing_credentials_are_named_with_the_fix(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-wrong-4712")
    wrong = user.run(*SHORT)
    monkeypatch.delenv("MODAL_TOKEN_ID")
    monkeypatch.delenv("MODAL_TOKEN_SECRET")
    missing = user.run(*SHORT)
    for ended in (wrong, missing):
        said = " ".join(ended.err.split())
        assert ended.code == 3
        assert "Modal authentication failed" in said
        assert "`modal token new`" in said
        assert "4712" not in said
    assert not list(user.folder.glob("runs/*/*/handle.json"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpu": "H9000:8"}, "Modal has no GPU 'H9000'; it has T4, L4"),
        ({"gpu": "H100:16"}, "H100:16: a Modal container has at most 8 H100"),
        (
            {"options": {"secrets": ["nothing-like-it"]}},
            "Modal has no secret 'nothing-like-it'; create it with `modal secret create",
        ),
    ],
)
def test_what_modal_does_not_have_is_named_before_anything_is_sent(
    user: User, backend: ModalBackend, changes: dict[str, Any], words: str
) -> None:
    with_launch(user, **changes)
    ended = user.run(*SHORT, "--yes", *EIGHT)
    assert ended.code == 3
    assert words in " ".join(ended.err.split())
    assert not backend.state()["volumes"]


def test_an_h100_without_the_mark_may_be_something_else() -> None:
    finding = check_gpu("H100:8")
    assert (finding.severity, finding.fix) == ("warn", '--set launch.gpu="H100!:8"')
    assert check_gpu("H100!:8").severity == "pass"
    assert check_gpu("A10:8").severity == "fail"


def test_how_long_a_container_may_last(tmp_path: Path) -> None:
    assert limit_of(job(tmp_path, limit_seconds=569.9)) == 569
    assert limit_of(job(tmp_path, planned_seconds=1200.0)) == 3 * 1200 + 1800
    assert limit_of(job(tmp_path)) == MAX_SECONDS
    assert limit_of(job(tmp_path, limit_seconds=1e9)) == MAX_SECONDS


@pytest.mark.slow
def test_a_container_that_dies_is_replaced_and_goes_on(
    user: User, backend: ModalBackend, long_run: RunDirectory
) -> None:
    run = user.start(*LONG)
    user.wait_for_step(run, 60)
    backend.tell("kill", call=call_id(run))
    ended = user.run(*LONG)
    assert ended.code == 0, ended.err
    assert run.read_result()["headline"] == long_run.read_result()["headline"]
    (call,) = backend.state()["calls"].values()
    assert call["inputs"][0]["attempts"] == 2


SUBMIT_FOR_40_SECONDS = """
import sys
from pathlib import Path
from launchers.modal_cloud import ModalLauncher
from pgolf.launching import Job
from pgolf.run_reading import read_or_empty
from pgolf.rundir import RunDirectory
run = RunDirectory(Path(sys.argv[1]))
options = read_or_empty(run.handle)["options"]
libraries = ("brotli",)
job = Job(run=run, gpu=None, processes=1, options=options, is_detached=True, libraries=libraries, limit_seconds=40.0)
ModalLauncher().submit(job)
"""


@pytest.mark.slow
def test_a_time_limit_ends_it_with_a_checkpoint_and_the_reason(user: User, backend: ModalBackend) -> None:
    run = user.start(*SHORT, "--set", "recipe.budget.train=30000")
    user.wait_for_step(run, 1)
    user("cancel", run.run_id)
    user.wait_for_end(run)
    command = [sys.executable, "-c", SUBMIT_FOR_40_SECONDS, str(run.root)]
    subprocess.run(command, check=True, cwd=user.folder)
    before = run.read_state()["step"]
    ended = user("attach", run.run_id)
    assert ended.code == 1
    assert "stopped after 40 s, its time limit" in ended.err
    kept = backend.root / "volumes" / backend.volume("pgolf-runs") / run.remote_id / "checkpoints"
    assert max(int(path.stem.partition("-")[2]) for path in kept.glob("step-*.ckpt")) > before
    assert 36 <= sum(run.read_attempts()[1:]) < 60


@pytest.mark.slow
@pytest.mark.parametrize("status", ["RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL"])
def test_a_server_that_cannot_say_is_not_taken_for_the_end(user: User, backend: ModalBackend, status: str) -> None:
    run = user.start(*LONG)
    user.wait_for_step(run, 1)
    backend.tell("fail_rpc", name="FunctionGetOutputs", status=status, count="30")
    (row,) = user("status", "--json").json["runs"]
    assert row["state"] in ("queued", "running")
    backend.tell("fail_rpc", name="FunctionGetOutputs", status=status, count="0")
    ended = user.run(*LONG)
    assert ended.code == 0, ended.err
    assert len(backend.state()["calls"]) == 1


@pytest.mark.slow
def test_a_call_that_waits_is_cancelled_before_it_begins(user: User, backend: ModalBackend) -> None:
    run = user.start(*LONG)
    assert user("cancel", run.run_id).code == 0
    user.wait_for_end(run)
    assert run.read_state().get("step", 0) < 300
    assert not run.is_finished


@pytest.mark.slow
def test_a_server_that_fails_for_a_moment_is_asked_again(user: User, backend: ModalBackend) -> None:
    backend.tell("fail_rpc", name="VolumeGetFile2", status="UNAVAILABLE", count="2")
    backend.tell("fail_rpc", name="FunctionGetOutputs", status="UNAVAILABLE", count="1")
    ended = user.run(*SHORT)
    assert ended.code == 0, ended.err


@pytest.mark.slow
def test_weights_trained_there_are_packed_again_there(user: User, backend: ModalBackend) -> None:
    """Weights trained on many GPUs are quantized and scored on one: they are uploaded with the run."""
    assert user.run(*SHORT).code == 0
    (parent,) = (RunDirectory(path) for path in user.folder.glob("runs/*/seed-*"))
    child = user("run", "--from-checkpoint", str(parent.root), "--set", "recipe.quantizer.bits={default: 4}", "--json")
    assert child.code == 0, child.err
    result = child.json["runs"][0]["result"]
    assert result["parent"]["run_id"] == parent.run_id
    assert result["artifact"]["model_bytes"] < parent.read_result()["artifact"]["model_bytes"]
    assert len(backend.state()["calls"]) == 2


@pytest.mark.slow
def test_doctor_examines_a_container(user: User) -> None:
    ended = user("doctor", "quickstart", *SHORT, "--with", "backend.yaml", "--yes", "--json")
    assert ended.code == 0, ended.err
    found = {check["rule"]: check for check in ended.json["checks"]}
    assert found["compile"]["status"] == "pass", found["compile"]
    assert {"device", "torch", "attention", "disk", "clock"} <= {*found}


def test_a_folder_and_its_copy_agree_after_every_change(tmp_path: Path) -> None:
    work, kept = tmp_path / "work" / "run", tmp_path / "kept"
    (kept / "calls").mkdir(parents=True)
    (kept / "run.json").write_text("{}")
    (kept / "stop").write_text("stop")
    mirror = Mirror(work, kept)
    mirror.restore()
    assert [path.name for path in work.rglob("*")] == ["run.json"]
    (work / "checkpoints").mkdir()
    (work / "checkpoints" / "step-1.ckpt").write_text("one")
    (work / ".result.json.1.tmp").write_text("half")
    mirror.save()
    assert (kept / "checkpoints" / "step-1.ckpt").read_text() == "one"
    (work / "checkpoints" / "step-1.ckpt").unlink()
    (work / "checkpoints" / "step-2.ckpt").write_text("two")
    (work / "result.json").write_text("{}")
    mirror.save()
    names = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())
    assert names == ["checkpoints/step-2.ckpt", "result.json", "run.json", "stop"]
    again = Mirror(tmp_path / "other", kept)
    again.restore()
    assert (tmp_path / "other" / "checkpoints" / "step-2.ckpt").read_text() == "two"
