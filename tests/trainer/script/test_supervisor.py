"""How scripts end, and which results count: those that were printed before."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.recipe.files import RunFiles
from trainer.runtime.failure import Stopped, TrainingFailed
from trainer.runtime.stop import StopRequest
from trainer.script import activity, supervisor
from trainer.script.job import ScriptJob
from trainer.script.supervisor import supervise_script

BEGIN = """
import os, sys, threading, time
def say(*words): print(*words, flush=True)
def model(): open("model.ptz", "wb").write(bytes(1000))
STEPS = "step:1/3 train_loss:3.9 train_time:10ms"
SCORE = "final_int8_zlib_roundtrip_exact val_loss:2.10000000 val_bpb:1.20000000"
say(STEPS)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="whether a process computes is read from /proc")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (activity, supervisor):
        monkeypatch.setattr(module, "IDLE_SECONDS", 1.0)
    monkeypatch.setattr(activity, "SAMPLE_SECONDS", 0.2)
    monkeypatch.setattr(activity, "RECENT_SECONDS", 0.5)


@pytest.fixture
def result_of(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a script and returns result.json."""

    def run(text: str, stop: StopRequest | None = None, **program: Any) -> dict[str, Any]:
        files = RunFiles(tmp_path)
        files.local.mkdir(exist_ok=True)
        (files.local / "train.py").write_text(BEGIN + text)
        identity = dict.fromkeys(("run_id", "name", "spec_sha256", "code_sha256", "data_sha256", "torch"), "x")
        limits = {"limit_bytes": 16_000_000, "code_bytes": 10, "code_files": {"train.py": 10}, "ruleset": None}
        place: dict[str, Any] = {
            "script": "train.py",
            "data_folder": None,
            "withheld": [],
            "device": "cpu",
            "stop": None,
            "threads": 1,
        }
        job = ScriptJob(
            files=files,
            seed=1,
            program={"env": {}, "seed_variable": "SEED", "seconds": None, "nproc": None, "artifact": ["*.ptz"]}
            | program,
            run=identity | limits | place | {"seed": 1},
        )
        supervise_script(job, stop or StopRequest(), 1)
        found: dict[str, Any] = json.loads(files.result.read_text())
        return found

    return run


@pytest.mark.parametrize(
    ("ending", "ended"),
    [
        ("", None),
        ("threading.Thread(target=time.sleep, args=(1000,)).start()", "stopped after its result"),
        ("sys.exit(3)", "ended with code 3 after its result"),
        ("raise RuntimeError('NCCL teardown')", "ended with code 1 after its result"),
        ("os.abort()", f"killed by signal {signal.SIGABRT.value} after its result"),
    ],
    ids=["by itself", "never", "exit", "exception", "abort"],
)
def test_a_printed_result_counts_however_the_script_ends(
    ending: str, ended: str | None, result_of: Callable[..., dict[str, Any]]
) -> None:
    found = result_of(f"model()\nsay(SCORE)\n{ending}\n")
    assert (found["headline"]["val_bpb"], found["artifact"]["model_bytes"], found["ended"]) == (1.2, 1000, ended)


@pytest.mark.slow
def test_a_script_whose_other_processes_compute_is_not_cut(result_of: Callable[..., dict[str, Any]]) -> None:
    """It is silent for twice as long as an idle script may be, and then prints a better score."""
    found = result_of(
        "model()\nsay(SCORE)\nimport subprocess\n"
        "code = 'import time\\nend = time.time() + 2\\nwhile time.time() < end: pass'\n"
        "subprocess.run([sys.executable, '-c', code])\n"
        "say('legal_ttt_exact val_loss:2.0 val_bpb:1.1')\n"
    )
    assert (found["headline"]["val_bpb"], found["ended"]) == (1.1, None)


def test_a_script_that_goes_on_scoring_is_not_cut(result_of: Callable[..., dict[str, Any]]) -> None:
    found = result_of(
        "model()\nsay(SCORE)\nfor part in range(4):\n    time.sleep(0.5)\n    say(f'scored {part}/4')\n"
        "say('legal_ttt_exact val_loss:2.0 val_bpb:1.1')\n"
    )
    assert (found["headline"]["val_bpb"], found["ended"]) == (1.1, None)


@pytest.mark.parametrize(
    "heartbeat",
    [
        pytest.param("'[rank0]: heartbeat watchdog alive'", id="words"),
        pytest.param("f'memory: {time.time():.0f} bytes'", id="numbers", marks=pytest.mark.slow),
        pytest.param("SCORE", id="its score", marks=pytest.mark.slow),
        pytest.param("'waiting at 3/4'", id="a fraction", marks=pytest.mark.slow),
    ],
)
def test_the_heartbeat_of_a_script_is_no_progress(heartbeat: str, result_of: Callable[..., dict[str, Any]]) -> None:
    found = result_of(f"model()\nsay(SCORE)\nwhile True:\n    time.sleep(0.3)\n    say({heartbeat})\n", seconds=20.0)
    assert found["ended"] == "stopped after its result"


@pytest.mark.parametrize(
    "text",
    [
        "model()\nsay(SCORE)\nsay('step:2/3 train_loss:3.8 train_time:20ms')\nsys.exit(3)",
        "model()\nsay('step:3/3 val_loss:2.1 val_bpb:1.2')\nsys.exit(3)",
        "model()\nsay('epoch 2 val_loss:2.1 val_bpb:1.2')\nsys.exit(3)",
        "model()\nsay('pre-quantization val_loss:2.1 val_bpb:1.2')\nsys.exit(3)",
        "model()\nsay(SCORE)\nsay('legal_ttt_exact val_loss:nan val_bpb:nan')\nsys.exit(3)",
    ],
    ids=["training goes on", "validation", "a label without a stage", "before packing", "a later score is no number"],
)
def test_what_is_no_final_score_does_not_count(text: str, result_of: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(TrainingFailed, match="ended with code 3"):
        result_of(text)


def test_a_script_without_its_model_is_waited_for(result_of: Callable[..., dict[str, Any]]) -> None:
    """It has printed its score, and writes its model after more than the idle time."""
    found = result_of("say(SCORE)\ntime.sleep(1.4)\nmodel()\n")
    assert (found["artifact"]["model_bytes"], found["ended"]) == (1000, None)


@pytest.mark.slow
def test_a_script_without_its_model_is_not_waited_for_for_ever(result_of: Callable[..., dict[str, Any]]) -> None:
    found = result_of("say(SCORE)\ntime.sleep(600)\n", seconds=20.0)
    assert (found["headline"]["val_bpb"], found["ended"]) == (1.2, "stopped after its result")
    assert (found["artifact"]["model_bytes"], found["artifact"]["basis"]) == (None, None)


@pytest.mark.parametrize("has_result", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_at_the_time_limit_a_printed_result_counts(
    has_result: bool, result_of: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "IDLE_SECONDS", 60.0)
    text = f"{'say(SCORE)' * has_result}\ntime.sleep(600)\n"
    if has_result:
        assert result_of(text, seconds=1.0)["ended"] == "stopped after its result, at 1 s: program.seconds"
    else:
        with pytest.raises(TrainingFailed, match=r"stopped after 1 s: program\.seconds"):
            result_of(text, seconds=1.0)


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("pass", "stopped on request after its result"),
        ("say('alive')", "stopped on request after its result"),
        ("say(time.time(), 'alive 1/9')", "stopped on request after its result"),  # the stamp is a logger's
        ("say('at', time.time(), '1/9')", "stopped on request after its result, while it was still at work"),
        ("sum(range(1000000))", "stopped on request after its result, while it was still at work"),
    ],
    ids=["silent", "heartbeat", "stamped heartbeat", "prints", "computes"],
)
@pytest.mark.slow
def test_on_request_a_result_counts(
    text: str, ended: str, result_of: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "IDLE_SECONDS", 60.0)
    found = result_of(f"say(SCORE)\nwhile True:\n    time.sleep(0.1)\n    {text}\n", stop_soon())
    assert found["ended"] == ended


@pytest.mark.parametrize(
    "line",
    [
        "step:2/3 val_loss:2.1 val_bpb:1.2",
        pytest.param("step:2/3 train_loss:3.8 train_time:20ms", marks=pytest.mark.slow),
    ],
)
def test_a_request_during_training_stops_it(
    line: str, result_of: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    said = tmp_path / "said"
    text = f"model()\nsay(SCORE)\nsay({line!r})\nopen({str(said)!r}, 'w').close()\ntime.sleep(600)\n"
    with pytest.raises(Stopped, match=r"starts .* again in its working folder"):
        result_of(text, stop_after(said))


def stop_after(file: Path) -> StopRequest:
    """Return a request that is made half a second after a file is there: what was said before it has been read."""
    stop = StopRequest()

    def wait() -> None:
        while not file.exists():
            time.sleep(0.02)
        time.sleep(0.5)
        stop.requested = True

    threading.Thread(target=wait, daemon=True).start()
    return stop


def stop_soon() -> StopRequest:
    """Return a request that is made while a test's script runs."""
    stop = StopRequest()
    threading.Timer(1.2, lambda: setattr(stop, "requested", True)).start()
    return stop


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ("3.0 2.9 nan nan nan", {"first": 3, "last": 5, "count": 3, "is_at_end": True}),
        ("3.0 inf 2.8 -NaN 2.6", {"first": 2, "last": 4, "count": 2, "is_at_end": False}),
        ("3.0 2.9 2.8 2.7 2.6", None),
    ],
)
def test_losses_that_are_no_numbers_are_said(
    losses: str, expected: dict[str, Any] | None, result_of: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    lines = [f"step:{step}/5 train_loss:{loss} train_time:{step}ms" for step, loss in enumerate(losses.split(), 1)]
    found = result_of("".join(f"say({line!r})\n" for line in lines) + "say(SCORE)\n")
    assert found["not_finite"] == expected
    log = (tmp_path / "train.log").read_text()
    said = "the loss is not a number at step" in log
    assert said is (expected is not None)


def test_the_seconds_of_processes_include_their_children() -> None:
    assert activity.cpu_seconds_of([1 << 22]) == 0.0, "there is no such process"
    before = activity.cpu_seconds_of([os.getpid()])
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    after = activity.cpu_seconds_of([os.getpid()])
    assert before is not None
    assert after is not None
    assert after - before >= 0.25
