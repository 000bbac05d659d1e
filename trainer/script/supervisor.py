"""A script's run from top to bottom: copy it, run it, follow its log, count its artifact, write the result."""

import platform
import shutil
import subprocess
import time
from dataclasses import asdict
from typing import Any

from trainer.dialects.headline import protocol_of
from trainer.dialects.logged import LoggedRun
from trainer.dialects.scores import Score
from trainer.recipe.cores import allowed_cores, script_thread_count
from trainer.recipe.exit_codes import describe_exit
from trainer.recipe.writing import write_json
from trainer.runtime.failure import Stopped, TrainingFailed
from trainer.runtime.guard import make_guard
from trainer.runtime.journal import RunJournal
from trainer.runtime.stop import StopRequest
from trainer.script.activity import IDLE_SECONDS, Activity
from trainer.script.artifact_files import choose_artifact_files, copy_artifact, find_artifact_files
from trainer.script.job import ScriptJob
from trainer.script.listener import LogListener
from trainer.script.ranks import ScriptRanks


def supervise_script(job: ScriptJob, stop: StopRequest, processes: int) -> None:
    """Run a script and write result.json. A result that it printed counts, however it ended after that.

    Raises:
        RunFailure: it failed; gives the reason.
        Stopped: on request.
    """
    journal = RunJournal(job.files)
    journal.report(phase="prepare", error=None)
    copy_script(job)
    began, started = time.time(), time.monotonic()
    listener = LogListener(job.files, journal, make_guard(job.run, journal))
    environment = describe_script_environment(job, processes)
    write_json(job.files.run, job.run | {"environment": environment})
    ended = follow_script(job, listener, stop, start_ranks(job, processes, environment["threads"]), began)
    seconds = time.monotonic() - started
    score = listener.headline
    if listener.ends_without_number:
        raise TrainingFailed(
            f"{job.script} ended with code 0 after {seconds:.0f} s, and its last score is not a number: "
            f"{job.files.log}:{listener.nan_score_line}"
        )
    if score is None:
        raise TrainingFailed(
            f"{job.script} ended with code 0 after {seconds:.0f} s and printed no line with val_loss and val_bpb that "
            f"a result could be read from"
        )
    found = find_artifact_files(job.work, job.program["artifact"], began)
    artifact = copy_artifact(
        job.files, job.work, choose_artifact_files(found, listener.logged.packed_bytes), job.run, listener.logged
    )
    if ended is not None:
        journal.log(f"{job.script}: {ended}; its result counts (--fresh runs it again)")
    write_script_result(job, listener, score, artifact, environment, seconds, ended)
    journal.report(phase="finished")


def copy_script(job: ScriptJob) -> None:
    """Copy the script and its files to its working folder, over what an earlier attempt left of them."""
    shutil.copytree(job.files.local, job.work, dirs_exist_ok=True)


def start_ranks(job: ScriptJob, processes: int, threads: int | None) -> ScriptRanks:
    """Start the script's processes."""
    ranks = ScriptRanks(job.script, job.work, job.variables, job.run["withheld"], threads)
    is_told_ranks = processes > 1 or job.program["nproc"] is not None
    ranks.start(processes if is_told_ranks else None)
    return ranks


def follow_script(
    job: ScriptJob, listener: LogListener, stop: StopRequest, ranks: ScriptRanks, began: float
) -> str | None:
    """Follow the script's output until it ends, and end it if it has printed its result and does nothing more.

    Return how it ended after its result; None if it ended with code 0.

    Raises:
        Stopped: on request, before its result.
        StoppedByRule: a stop rule ended it.
        TrainingFailed: it failed, or took longer than `program.seconds`, before its result.
    """
    code, ended = 0, None
    activity = Activity([process.pid for process in ranks.processes])
    listener.journal.report(phase="train")
    try:
        for line in ranks.lines():
            if line is not None and listener.follow_line(line):
                activity.note_progress()
            listener.journal.pulse()
            stop.check()
            check_time(job, listener)
            if is_complete(job, listener, began, activity.idle_periods()):
                ended = "stopped after its result"
                break
    except Stopped:
        if not listener.has_packed_score:
            message = f"stopped on request; the same command starts {job.script} again in its working folder"
            raise Stopped(message) from None
        ended = f"stopped on request after its result{describe_work(activity)}"
    except TrainingFailed:
        if not listener.has_packed_score:
            raise
        ended = f"stopped after its result, at {job.program['seconds']:g} s: program.seconds{describe_work(activity)}"
    finally:
        code = ranks.end()
    if code and ended is None:
        if not listener.has_packed_score:
            last = last_log_line(job)
            raise TrainingFailed(f"{job.script}: {describe_script_end(code)}; last line of its log: {last}")
        ended = f"{describe_exit(code).removeprefix('it ')} after its result"
    return ended


def is_complete(job: ScriptJob, listener: LogListener, began: float, idle_periods: int) -> bool:
    """Return whether an idle script has printed its score and left its packed model, so that nothing is missing.

    After a second idle period a score that is by its label one of a packed model needs neither model nor size.
    """
    if not idle_periods:
        return False
    models = find_artifact_files(job.work, job.program["artifact"], began)
    if any(abs(time.time() - path.stat().st_mtime) < IDLE_SECONDS for path in models):
        return False  # it is being written
    if listener.has_packed_score:
        return bool(models) or listener.logged.size is not None or idle_periods > 1
    return bool(models) and listener.headline is not None and not listener.ends_without_number


def describe_work(activity: Activity) -> str:
    """Return what to say of a script that was stopped, if it had been active until then."""
    return ", while it was still at work" if activity.is_recent else ""


def check_time(job: ScriptJob, listener: LogListener) -> None:
    """Raise TrainingFailed if the script has taken longer than `program.seconds`."""
    limit = job.program["seconds"]
    if limit is not None and time.monotonic() - listener.began > limit:
        raise TrainingFailed(f"stopped after {limit:g} s: program.seconds")


def describe_script_end(code: int) -> str:
    """Return the end of the script in words."""
    words = describe_exit(code)
    return words if code > 0 else f"it was {words}"


def last_log_line(job: ScriptJob) -> str:
    """Return the last line of the log that is not blank."""
    lines = job.files.log.read_text(encoding="utf-8", errors="replace").splitlines() if job.files.log.exists() else []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "none")


def write_script_result(
    job: ScriptJob,
    listener: LogListener,
    score: Score,
    artifact: dict[str, Any],
    environment: dict[str, Any],
    seconds: float,
    ended: str | None,
) -> None:
    """Write result.json. What the log does not say is null."""
    logged = listener.logged
    identity = {key: job.run[key] for key in ("run_id", "name", "seed", "spec_sha256", "code_sha256", "data_sha256")}
    step, tokens = logged.step, None if logged.step is None else listener.tokens_at(logged.step)
    document = identity | {
        "source": "script",
        "ruleset": job.run["ruleset"],
        "ended": ended,
        "deterministic": False,
        "metrics": [metric_of(each, logged) for each in logged.scores],
        "headline": metric_of(score, logged),
        "artifact": artifact,
        "clock": {
            "train_seconds": logged.train_seconds,
            "evaluate_seconds": logged.total_eval_seconds or score.seconds,
            "run_seconds": round(seconds, 3),
        },
        "parameters": logged.parameters,
        "steps": step,
        "tokens_seen": tokens,
        "epochs": None,
        "logged_seed": logged.seed,
        "not_finite": None if logged.not_finite is None else asdict(logged.not_finite),
        "settings": logged.settings,
        "resumed_from_step": None,
        "environment": environment,
        "hardware": {"devices": devices_here() if job.run["device"] == "cuda" else [], "cores": allowed_cores()},
        "step_seconds": listener.guard.as_json() if listener.guard else None,
    }
    write_json(job.files.result, document)


def metric_of(score: Score, logged: LoggedRun) -> dict[str, Any]:
    """Return a score as a metric of a result, with the number of its line in the log."""
    return {
        "stage": score.shown_stage,
        "protocol": protocol_of(score, logged),
        "label": score.label,
        "val_loss": score.val_loss,
        "val_bpb": score.val_bpb,
        "seconds": score.seconds,
        "line": score.line,
    }


def describe_script_environment(job: ScriptJob, processes: int) -> dict[str, Any]:
    """Return what the result depends on besides script, variables and data, as far as known without importing torch."""
    return {
        "python": platform.python_version(),
        "torch": job.run["torch"],
        "device": job.run["device"],
        "threads": script_thread_count(job.run, processes, job.variables),
    }


def devices_here() -> list[str]:
    """Return the names of this machine's GPUs, from nvidia-smi."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        listing = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listing.splitlines() if line.strip()]
