"""A user's script instead of a recipe, from the spec to the table."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pgolf.rundir import RunDirectory
from tests.scripts import toy_learner
from tests.scripts.workshop import TRAIN, VALIDATION, Workshop
from trainer.recipe.processes import process_start

DIALECTS = {
    # Script: label, stage and protocol of its last line, steps it logs.
    "baseline_dialect.py": ("final_int8_zlib_roundtrip_exact", "roundtrip", "unknown", 40),
    "frontier_dialect.py": ("quantized_ttt", "ttt", "unknown", 40),
    "crawler_dialect.py": ("ttt_sliding:done", "ttt", "sliding", 30),
}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "own")


def expected_nats(script: str, model: Path) -> float:
    """Return the score of a packed model, computed without the script."""
    weights, text = toy_learner.unpack(str(model)), np.frombuffer(VALIDATION, np.uint8)
    if script == "baseline_dialect.py":
        return toy_learner.score(weights, text)[0]
    return toy_learner.adapted_score(weights, text, 0.02, lambda *_: None)


@pytest.mark.parametrize("script", DIALECTS)
def test_the_result_of_every_dialect_matches_its_model(script: str, tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "own", script)
    run = workshop.run()
    label, stage, protocol, steps = DIALECTS[script]
    result, (model,) = run.read_result(), run.files.artifact.glob("*.ptz")
    headline = result["headline"]
    assert (headline["label"], headline["stage"], headline["protocol"]) == (label, stage, protocol)
    assert headline["val_loss"] == pytest.approx(expected_nats(script, model), abs=1e-6)
    assert headline["val_bpb"] == pytest.approx(expected_nats(script, model) / math.log(2), abs=1e-6)
    log = run.files.log.read_text().splitlines()
    assert log[headline["line"] - 1].startswith(label)
    shipped = sum((workshop.folder / name).stat().st_size for name in (script, "toy_learner.py"))
    assert result["artifact"]["total_bytes"] == model.stat().st_size + shipped
    assert result["artifact"]["logged_total_bytes"] == result["artifact"]["total_bytes"]
    assert [row["step"] for row in run.read_metrics() if "train_loss" in row] == [*range(1, steps + 1)]
    (group,) = workshop("report", "--json").json["groups"]
    assert (group["source"], group["seeds"][0]["steps"], group["seeds"][0]["problems"]) == ("script", steps, [])


def test_each_seed_is_passed_to_the_script_and_run_once(workshop: Workshop) -> None:
    ended = workshop("seeds", "spec.yaml", "--n", "3", "--json")
    results = [row["result"] for row in ended.json["runs"]]
    assert [result["logged_seed"] for result in results] == [1337, 42, 2024]
    assert len({result["headline"]["val_bpb"] for result in results}) == 3
    again = workshop("seeds", "spec.yaml", "--n", "3")
    assert "train_loss" not in again.err
    assert "n=3" in again.out
    page = workshop("report", "--format", "html", "--out", "page.html")
    assert page.code == 0, page.err


def test_an_unread_variable_is_refused_with_the_nearest_name_and_its_line(workshop: Workshop) -> None:
    workshop.document["program"]["env"]["QAT_FLAT_BITS"] = 5
    ended = workshop("run", "spec.yaml")
    assert ended.code == 2
    line = 1 + (workshop.folder / "spec.yaml").read_text().splitlines().index('      "QAT_FLAT_BITS": 5')
    read_at = 1 + next(
        number
        for number, text in enumerate((workshop.folder / "baseline_dialect.py").read_text().splitlines())
        if "QAT_BITS" in text
    )
    assert f"spec.yaml:{line}: program.env.QAT_FLAT_BITS: " in ended.err
    assert f"did you mean `QAT_BITS` (baseline_dialect.py:{read_at})?" in ended.err
    assert not (workshop.folder / "runs").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": {"SEED": 3}}, "seeds are given by `seeds:`"),
        ({"env": {"MATRIX_LR": True}}, "quote the one that this script compares with"),
        ({"path": "missing.py"}, "No such file"),
        ({"path": "train.sh"}, "expected a Python file"),
        ({"files": ["nowhere"]}, "No such file"),
        ({"seed_variable": "SEEDS"}, "did you mean `SEED`"),
        ({"env": {"DATA_PATH": "{data}"}}, "program.data names no folder"),
        ({"envs": {}}, "did you mean `env`?"),
        ({"artifact": ["../*.pt"]}, "leads outside the script's working folder"),
        ({"artifact": ["**.ptz"]}, "is not a file pattern"),
        ({"env": {"MATRIX_LR": "a\0b"}}, "cannot hold a NUL"),
    ],
)
def test_a_wrong_program_is_refused_at_its_line(change: dict[str, object], message: str, workshop: Workshop) -> None:
    workshop.document["program"] |= change
    ended = workshop("preflight", "spec.yaml")
    assert ended.code == 2
    assert "spec.yaml:" in ended.err
    assert message in " ".join(ended.err.split())


def test_a_recipe_together_with_a_program_is_refused(workshop: Workshop) -> None:
    workshop.document["recipe"] = {}
    message = workshop("run", "spec.yaml").err
    assert re.match(r"error: spec\.yaml:\d+: found both `program` and `recipe`; a script takes the place", message), (
        message
    )


@pytest.mark.parametrize("command", [["fit", "spec.yaml", "--bytes", "100"], ["bundle", "spec.yaml"]])
def test_commands_that_need_a_recipe_refuse_a_script(command: list[str], workshop: Workshop) -> None:
    ended = workshop(*command)
    assert ended.code == 2
    assert "toy runs a script; this needs a spec with a recipe" in ended.err


def test_unset_variables_are_listed_with_their_defaults(workshop: Workshop) -> None:
    found = workshop("preflight", "spec.yaml", "--json").json
    assert found["variables"]["set"] == {"DATA_PATH": str(workshop.folder / "data")}
    assert found["variables"]["unset"]["MATRIX_LR"]["default"] == "0.5"
    assert found["variables"]["unset"]["MAX_WALLCLOCK_SECONDS"]["read_at"].startswith("baseline_dialect.py:")
    assert found["duration"]["train_seconds"] == 600.0
    assert "SEED" not in found["variables"]["unset"]


def test_variables_of_the_shell_do_not_reach_a_run(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = workshop.run()
    monkeypatch.setenv("MATRIX_LR", "0.001")
    ended = workshop("run", "spec.yaml", "--fresh")
    assert "MATRIX_LR=0.001 in this shell" in " ".join(ended.err.split())
    again = RunDirectory(plain.root.with_name("seed-1337.1"))
    assert again.read_result()["headline"]["val_bpb"] == plain.read_result()["headline"]["val_bpb"]


def test_code_and_variables_change_the_identity_and_a_path_does_not(workshop: Workshop) -> None:
    first = workshop.run().root.parent.name
    workshop.document["program"]["env"]["MATRIX_LR"] = 0.3
    second = workshop.run().root.parent.name
    (workshop.folder / "toy_learner.py").write_text((workshop.folder / "toy_learner.py").read_text() + "# changed\n")
    third = workshop.run().root.parent.name
    assert len({first, second, third}) == 3
    (workshop.folder / "moved").mkdir()
    for name in ("baseline_dialect.py", "toy_learner.py"):
        (workshop.folder / name).rename(workshop.folder / "moved" / name)
    workshop.document["program"] |= {"path": "moved/baseline_dialect.py", "files": ["moved/toy_learner.py"]}
    assert workshop.run().root.parent.name == third


def test_the_error_of_a_failed_script_is_quoted(workshop: Workshop) -> None:
    workshop.script("import os\nos.environ.get('SEED')\nprint('before')\nraise SystemExit('the loss went up')\n")
    ended = workshop("run", "spec.yaml")
    assert ended.code == 1
    assert "it ended with code 1; last line of its log: the loss went up" in " ".join(ended.err.split())
    assert "the same command starts the script again" in " ".join(ended.err.split())


def test_a_script_without_a_score_has_no_result(workshop: Workshop) -> None:
    workshop.script("import os\nprint('seed:', os.environ['SEED'])\nprint('final score: good')\n")
    for options in ([], ["--json"]):
        ended = workshop("run", "spec.yaml", *options)
        assert ended.code == 1
        assert "printed no line with val_loss and val_bpb" in " ".join(ended.err.split())
    (run,) = ended.json["runs"]
    assert (run["state"], run["result"]) == ("failed", None)


def test_a_last_score_that_is_not_a_number_gives_no_result(workshop: Workshop) -> None:
    workshop.script(
        "import os\nos.environ['SEED']\nprint('val val_loss:1.6 val_bpb:1.3')\n"
        "print('final_int8_roundtrip val_loss:nan val_bpb:nan')\n"
    )
    ended = workshop("run", "spec.yaml")
    assert ended.code == 1
    assert "its last score is not a number" in " ".join(ended.err.split())


def test_a_label_without_a_stage_is_unknown(workshop: Workshop) -> None:
    workshop.script(
        "import os\nos.environ['SEED']\n"
        "print('50%|##   | step:3/4 val_loss:9.0 val_bpb:9.0')\nprint('epoch 2 val_loss:1.8 val_bpb:0.8')\n"
    )
    result = workshop.run().read_result()
    assert (result["headline"]["stage"], result["headline"]["val_bpb"]) == ("unknown", 0.8)
    (group,) = workshop("report", "--json").json["groups"]
    assert "stage_unknown" in {problem["rule"] for problem in group["seeds"][0]["problems"]}


def test_models_with_the_same_name_in_two_folders_are_both_counted(workshop: Workshop) -> None:
    workshop.script(
        "import os\nfrom pathlib import Path\nos.environ['SEED']\n"
        "for name, size in (('a', 1000), ('b', 10)):\n"
        "    Path(name).mkdir()\n    Path(name, 'm.ptz').write_bytes(bytes(size))\n"
        "print('final_int8_roundtrip val_loss:1.8 val_bpb:0.8')\n"
    )
    workshop.document["program"]["artifact"] = ["*/m.ptz"]
    assert workshop.run().read_result()["artifact"]["files"] == {"a/m.ptz": 1000, "b/m.ptz": 10}


def test_output_without_newlines_is_read_in_pieces(workshop: Workshop) -> None:
    workshop.script(
        "import os, sys\nos.environ['SEED']\nfor _ in range(300):\n    sys.stdout.write('x' * 100_000)\n"
        "print('\\nfinal_int8_roundtrip val_loss:1.8 val_bpb:0.8', end='')\n"
    )
    assert workshop.run().read_result()["headline"]["val_bpb"] == 0.8


ORPHANS = """
import os, subprocess, sys, time
from pathlib import Path
os.environ["SEED"]
for session in (False, True):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=session)
    Path(f"pid-{session}").write_text(str(child.pid))
print("step:1/2 train_loss:2.0 train_time:1ms")
time.sleep(float(os.environ.get("PAUSE", "0")))
print("final_int8_roundtrip val_loss:1.8 val_bpb:0.8")
"""


def test_child_processes_of_a_script_end_with_it(workshop: Workshop) -> None:
    workshop.script(ORPHANS)
    run = workshop.run()
    assert [session for session in ("False", "True") if is_alive_after_waiting(script_pid(run, session))] == []


def test_child_processes_of_a_script_end_with_a_killed_supervisor(workshop: Workshop) -> None:
    workshop.script(ORPHANS)
    workshop.document["program"]["env"] = {"PAUSE": 600}
    assert workshop("run", "spec.yaml", "--detach").code == 0
    run = only_run(workshop)
    wait_for_steps(run, 1)
    os.kill(run.read_state()["pid"], signal.SIGKILL)
    assert [session for session in ("False", "True") if is_alive_after_waiting(script_pid(run, session))] == []


def test_preflight_reports_an_imported_file_that_is_not_shipped(workshop: Workshop) -> None:
    workshop.document["program"]["files"] = []
    ended = workshop("run", "spec.yaml")
    assert ended.code == 3
    assert "imports toy_learner.py from its own folder" in " ".join(ended.err.split())


def test_variables_of_the_shell_do_not_reach_a_lookup_by_names(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRATE", "3.5")
    workshop.script(
        "import os\nos.environ['SEED']\nD = {'LRATE': 1}\n"
        "found = {k: os.environ.get(k.upper(), d) for k, d in D.items()}\n"
        "print(found)\nprint('final_int8_roundtrip val_loss:1.8 val_bpb:0.8')\n"
    )
    assert "{'LRATE': 1}" in workshop.run().files.log.read_text()


def test_a_misspelled_library_variable_is_compared_with_those_the_script_reads(workshop: Workshop) -> None:
    workshop.script("import os\nos.environ['SEED'], os.environ.get('TORCH_COMPILE_MODE')\n")
    workshop.document["program"]["env"] = {"TORCH_COMPLIE_MODE": "default"}
    ended = workshop("preflight", "spec.yaml")
    assert (ended.code, "did you mean `TORCH_COMPILE_MODE`" in ended.err) == (2, True)
    workshop.document["program"]["unchecked"] = ["TORCH_COMPLIE_MODE"]
    assert workshop("preflight", "spec.yaml").code == 0


def test_a_script_without_a_seed_has_one_run(workshop: Workshop) -> None:
    workshop.document["program"]["seed_variable"] = None
    ended = workshop("seeds", "spec.yaml", "--n", "3")
    assert (ended.code, "would be identical" in ended.err) == (2, True)


def test_a_script_is_stopped_after_program_seconds(workshop: Workshop) -> None:
    workshop.script("import os, time\nos.environ['SEED']\nprint('on and on')\ntime.sleep(600)\n")
    workshop.document["program"]["seconds"] = 1.0
    ended = workshop("run", "spec.yaml")
    assert ended.code == 1
    assert "stopped after 1 s: program.seconds" in ended.err


STEPPING = """
import os, sys, time
from pathlib import Path
rank = os.environ.get("RANK", "none")
Path(f"pid-{rank}").write_text(str(os.getpid()))
print("train_batch_tokens:100", os.environ["SEED"])
print("step:0/9000 val_loss:2.0 val_bpb:3.0 train_time:0ms")
for step in range(1, 9001):
    print(f"step:{step}/9000 train_loss:2.0 train_time:{10 * step}ms")
    if os.environ.get("STEPS") == str(step):
        break
    time.sleep(float(os.environ.get("PAUSE", "0.01")))
print("final val_loss:1.0 val_bpb:1.5")
"""


def wait_for_steps(run: RunDirectory, steps: int = 5) -> None:
    deadline = time.monotonic() + 60
    while len(run.read_metrics()) < steps:
        assert time.monotonic() < deadline, run.files.log.read_text() if run.files.log.exists() else "no log"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_interrupting_the_command_ends_its_script(number: signal.Signals, workshop: Workshop) -> None:
    workshop.script(STEPPING)
    workshop("preflight", "spec.yaml")
    # Background jobs of a shell ignore SIGINT, and their children inherit that.
    accept_sigint = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{accept_sigint}; from pgolf.cli.app import main; main()"
    command = [sys.executable, "-c", program, "run", "spec.yaml"]
    began = subprocess.Popen(command, cwd=workshop.folder, stderr=subprocess.PIPE)
    run = only_run(workshop)
    wait_for_steps(run)
    began.send_signal(number)
    _, err = began.communicate(timeout=60)
    assert began.returncode == 130, err
    assert process_start(script_pid(run)) is None
    assert run.read_state()["phase"] == "stopped"


def only_run(workshop: Workshop) -> RunDirectory:
    deadline = time.monotonic() + 60
    while not (found := [*workshop.folder.glob("runs/*/seed-*/run.json")]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return RunDirectory(found[0].parent)


def script_pid(run: RunDirectory, rank: str = "none") -> int:
    return int((run.root / "work" / f"pid-{rank}").read_text())


def is_alive_after_waiting(pid: int) -> bool:
    """Return whether a process still exists after 30 s."""
    deadline = time.monotonic() + 30
    while process_start(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    return process_start(pid) is not None


def test_a_script_ends_with_a_killed_supervisor_and_restarts_in_its_work_folder(
    workshop: Workshop,
) -> None:
    workshop.script(STEPPING)
    assert workshop("run", "spec.yaml", "--detach").code == 0
    run = only_run(workshop)
    wait_for_steps(run, 30)
    os.kill(run.read_state()["pid"], signal.SIGKILL)
    assert not is_alive_after_waiting(script_pid(run))
    assert run.state == "stopped"
    kept = run.root / "work" / "kept.txt"
    kept.write_text("a checkpoint of the script's own")
    ended = workshop("run", "spec.yaml", "--set", "stop.slower_than=2", "--detach")
    assert ended.code == 0, ended.err
    wait_for_steps(run, 3)
    assert workshop("cancel", run.run_id).code == 0
    assert not is_alive_after_waiting(script_pid(run))
    steps = [row["step"] for row in run.read_metrics() if "train_loss" in row]
    assert steps == sorted(set(steps)), "no step is logged twice"
    assert kept.exists()


def test_ranks_get_torchruns_variables_and_one_failed_rank_ends_all(workshop: Workshop) -> None:
    workshop.script(
        "import os, sys, time\n"
        "rank = os.environ['RANK']\n"
        "names = 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'SEED'\n"
        "print(rank, *(os.environ[name] for name in names))\n"
        "time.sleep(1)\nsys.exit(7) if rank == '1' else time.sleep(600)\n"
    )
    workshop.document["program"]["nproc"] = 2
    began = time.monotonic()
    ended = workshop("run", "spec.yaml")
    assert time.monotonic() - began < 100
    assert ended.code == 1
    assert "it ended with code 7" in ended.err
    log = only_run(workshop).files.log.read_text()
    assert "0 0 2 127.0.0.1 1337" in log
    assert "1 1 2 127.0.0.1 1337" in log


def test_a_run_that_falls_behind_another_is_stopped(workshop: Workshop) -> None:
    workshop.script(STEPPING)
    workshop.document["program"]["env"] = {"STEPS": 60, "PAUSE": 0}
    good = workshop.run()
    worse = STEPPING.replace("train_loss:2.0", "train_loss:2.5")
    workshop.script(worse)
    ended = workshop("run", "spec.yaml", "--set", f"stop.worse_than={{run: {good.run_id}, by_bpb: 0.2}}")
    assert ended.code == 1
    # 2.5 nats per token at 3.0 / 2.0 bpb per nat are 3.75 bpb; the other run had 3.0.
    assert "train_bpb is 3.7500" in " ".join(ended.err.split())
    assert "was 3.0000" in " ".join(ended.err.split())


def test_a_run_that_is_slower_than_earlier_runs_is_stopped(workshop: Workshop) -> None:
    workshop.script(STEPPING)
    workshop.document["program"]["env"] = {"STEPS": 60, "PAUSE": 0}
    good = workshop.run()
    document = json.loads(good.files.result.read_text())
    assert document["clock"]["train_seconds"] == 0.6
    good.files.result.write_text(json.dumps(document | {"clock": document["clock"] | {"train_seconds": 0.1}}))
    ended = workshop("run", "spec.yaml", "--seed", "42", "--set", "stop.slower_than=3")
    assert ended.code == 1
    assert "stopped by stop.slower_than" in " ".join(ended.err.split())


def test_a_script_that_ignores_its_seed_is_reported(workshop: Workshop) -> None:
    workshop.script(
        "import os\nos.environ.get('SEED')\nprint('seed:7')\nprint('final_int8 val_loss:1.0 val_bpb:1.5')\n"
    )
    workshop.run()
    (group,) = workshop("report", "--json").json["groups"]
    rules = {problem["rule"] for problem in group["seeds"][0]["problems"]}
    assert rules == {"seed_ignored", "size_unknown"}


def test_logs_that_a_script_writes_are_not_taken_for_records(workshop: Workshop) -> None:
    workshop.script(
        "import os\nfrom pathlib import Path\nos.environ['SEED']\nPath('logs').mkdir(exist_ok=True)\n"
        "message = 'step:1/1 train_loss:2.0\\nfinal_int8_roundtrip val_loss:1.0 val_bpb:1.5\\n'\n"
        "Path('logs/a.txt').write_text(message), Path('b.log').write_text(message)\nprint(message)\n"
    )
    run = workshop.run()
    for paths in ([], ["runs"], [str(run.root)], [str(run.root.parent)]):
        (group,) = workshop("report", *paths, "--json").json["groups"]
        assert group["source"] == "script"
    assert '"title": "steps"' in workshop("report", "--format", "html").out


def test_data_is_checked_identified_by_hash_and_passed_to_the_script(workshop: Workshop, micro_data: Path) -> None:
    workshop.script(
        "import os\nfrom pathlib import Path\nprint('seed:', os.environ['SEED'])\n"
        "print(len([*Path(os.environ['DATA_PATH']).glob('*.bin')]), 'shards')\n"
        "print('final val_loss:1.0 val_bpb:1.5')\n"
    )
    workshop.document["program"] |= {"data": str(micro_data), "env": {"DATA_PATH": "{data}"}}
    run = workshop.run()
    assert f"{len([*micro_data.glob('*.bin')])} shards" in run.files.log.read_text()
    manifest = json.loads((micro_data / "manifest.json").read_text())
    assert run.read_result()["data_sha256"] == workshop("preflight", "spec.yaml", "--json").json["data_sha256"]
    assert manifest["train"]["shards"]
    workshop.document["program"]["data"] = str(workshop.folder / "data")
    ended = workshop("run", "spec.yaml")
    assert ended.code == 5, ended.err


def test_the_texts_of_the_workshop_are_large_enough() -> None:
    assert len(TRAIN) > 50_000
    assert len(VALIDATION) > 3_000
