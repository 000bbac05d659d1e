"""Judges whether an artifact, a clock or a cost is over its limit; `judging.py` judges the other limits of a ruleset.

The trainer, which knows nothing of pgolf, compares the model's bytes with `limit_bytes` of run.json to widen its clips.
"""

from collections.abc import Collection

# Own runs may be over time by the step that is running when the time is up.
STEP_SECONDS = 1.0
# Accepted records are up to this late, because the clock is read after a step.
LATE_SECONDS = 0.25
# The machine to which the time limits of Parameter Golf apply.
CONTEST_KIND, CONTEST_GPUS = "H100", 8
# The rules whose failures say that a limit of the contest is broken. Other failures question a number.
TIME_RULES = frozenset({"over_time", "eval_over_time"})
SIZE_RULES = frozenset({"parameters_cap", "train_tokens_cap", "steps_cap", "fixed_parts"})
LIMIT_RULES = frozenset({"over_cap", "target_loss"}) | TIME_RULES | SIZE_RULES
# So few steps test that everything works; the overlays `tiny` and `micro` of shipped specs have no more.
SMOKE_TEST_STEPS = 100


def bytes_over(total_bytes: int | None, limit_bytes: int | None) -> int:
    """Return by how many bytes code and model exceed a limit; 0 if they fit, or if size or limit are not known.

    Source: "at most 16,000,000 bytes" (the challenge's README): an artifact of exactly the limit fits.
    """
    return 0 if limit_bytes is None else max(0, (total_bytes or 0) - limit_bytes)


def is_over_time(seconds: float | None, limit_seconds: float | None, tolerance_seconds: float = 0.0) -> bool:
    """Return whether a time exceeds a limit; False if either is not known."""
    return seconds is not None and limit_seconds is not None and seconds > limit_seconds + tolerance_seconds


def is_smoke_test(steps: int | None) -> bool:
    """Return whether a run trains, but is too short to be judged by what it has learned."""
    return steps is not None and 0 < steps <= SMOKE_TEST_STEPS


def is_over_cap(usd: float | None, cap_usd: float | None) -> bool:
    """Return whether a cost exceeds a spending cap; False if either is not known."""
    return usd is not None and cap_usd is not None and usd > cap_usd


def is_contest_machine(gpus: Collection[str], processes: int | None) -> bool | None:
    """Return whether a machine is the contest's, by the names of its GPUs and the number of processes.

    None if what is known does not show it: no names, or no number.
    """
    is_other = bool(gpus) and not any(CONTEST_KIND in name for name in gpus)
    if is_other or processes not in (None, CONTEST_GPUS):
        return False
    return True if gpus and processes == CONTEST_GPUS else None
