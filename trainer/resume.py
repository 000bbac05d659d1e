"""Where a run starts: at its newest checkpoint or with the weights of a parent run. What refuses to resume it."""

import hashlib
from typing import Any

import torch

from trainer.resumable import ResumableTraining
from trainer.runtime.checkpoint import CheckpointFolder, read_checkpoint
from trainer.runtime.failure import ResumeRefused
from trainer.runtime.job import ParentWeights
from trainer.runtime.journal import Journal

# Keys of an environment that may differ when a run goes on on GPUs: bits are not reproducible there anyway.
HARDWARE_KEYS = ("device", "processes", "processor", "threads", "python", "attention")


def resume_training(training: ResumableTraining) -> None:
    """Restore the newest intact checkpoint, if there is one.

    Raises:
        ResumeRefused: there are checkpoints and none is intact.
    """
    world, journal, checkpoints = training.world, training.journal, training.checkpoints
    state = newest_intact_state(checkpoints, journal) if world.is_rank_zero else None
    step = world.broadcast_number(state["step"] if state else -1)
    if step >= 0:
        training.restore(state or read_checkpoint(checkpoints.path(step)))
        journal.log(f"resumed from step {step}, {torch.get_num_threads()} threads")
    journal.truncate_after(training.step)


def check_same_environment(found: dict[str, Any], pinned: dict[str, Any] | None) -> dict[str, Any]:
    """Check that a run that began in the environment `pinned` may go on in `found`, and return what is different there.

    Raises:
        ResumeRefused: a setting differs that must not; names the first one.
    """
    changed = {key: found.get(key) for key, before in (pinned or {}).items() if found.get(key) != before}
    is_exact = pinned is not None and "cpu" in (found["device"], pinned["device"])
    for key, now in changed.items():
        if is_exact or key not in HARDWARE_KEYS:
            assert pinned is not None
            raise ResumeRefused(
                f"this run began with {key} {pinned[key]!r} and would go on with {now!r}, which changes bits; "
                "resume it there, or start another attempt with --fresh"
            )
    return changed


def environments_since(run: dict[str, Any], changed: dict[str, Any], journal: Journal) -> list[dict[str, Any]]:
    """Return in which other environments a run was resumed, now in one with `changed` settings; log those."""
    earlier: list[dict[str, Any]] = run.get("resumed_under") or []
    if not changed:
        return earlier
    words = ", ".join(f"{key} {run['environment'][key]} -> {now}" for key, now in changed.items())
    journal.log(f"resumed on other hardware than this run began on: {words}")
    return earlier if earlier[-1:] == [changed] else [*earlier, changed]


def report_overruled_threads(run: dict[str, Any], journal: Journal) -> None:
    """Log that a run keeps the number of threads it began with, although its spec now asks for another."""
    wanted, threads = run.get("threads"), torch.get_num_threads()
    if wanted is not None and wanted != threads:
        journal.log(f"launch.threads is {wanted}; this run began with {threads} threads and keeps them")


def newest_intact_state(checkpoints: CheckpointFolder, journal: Journal) -> dict[str, Any] | None:
    """Return the state in the newest intact checkpoint, or None if there is no checkpoint.

    Raises:
        ResumeRefused: all are damaged.
    """
    for step, state in checkpoints.read_all():
        if state is not None:
            return state
        journal.log(f"checkpoint of step {step} is damaged; trying the one before")
    if checkpoints.newest_first():
        raise ResumeRefused("every checkpoint is damaged; start another attempt with --fresh")
    return None


def load_parent_weights(training: ResumableTraining, parent: ParentWeights) -> None:
    """Load the weights that the parent run kept before quantization, in place of training.

    Raises:
        ResumeRefused: the file holds other weights, or those of another model.
    """
    path = training.files.prequant
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != parent.prequant_sha256:
        raise ResumeRefused(f"{path} is not what the parent run kept before quantization")
    try:
        training.model.load_state_dict(read_checkpoint(path))
    except RuntimeError as error:
        raise ResumeRefused(f"{path} holds the weights of another model: {error}") from error
    training.step, training.clock.finished["train"] = parent.steps, parent.train_seconds
    training.journal.log(f"weights of a run of {parent.steps} steps; nothing is trained")
