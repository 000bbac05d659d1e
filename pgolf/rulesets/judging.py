"""Judges runs, planned or finished, by the limits of a ruleset that are neither bytes nor seconds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from pgolf.findings import Finding, Severity
from pgolf.rulesets.ruleset import LossTarget, Ruleset

PARAMETERS, TRAIN_TOKENS, STEPS, FIXED, TARGET = (
    "parameters_cap", "train_tokens_cap", "steps_cap", "fixed_parts", "target_loss",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSize:
    """What a run uses, as far as it is known; None otherwise."""

    parameters: int | None = None
    train_tokens: int | None = None
    """Different tokens of the training text."""
    steps: int | None = None
    batch_tokens: int | None = None
    """Tokens of an optimizer step."""
    data: str | None = None
    """Name of the data folder."""


def judge_size(ruleset: Ruleset, size: RunSize) -> Iterator[Finding]:
    """Yield a finding about each limit that the ruleset sets on what a run uses, and one about what it fixes."""
    limits = ruleset.limits
    if limits.parameters is not None:
        yield judge_limit(PARAMETERS, "parameters", size.parameters, limits.parameters)
    if limits.train_tokens is not None:
        yield judge_limit(TRAIN_TOKENS, "tokens of training text", size.train_tokens, limits.train_tokens)
    if limits.target is not None and limits.target.steps is not None:
        yield judge_limit(STEPS, "optimizer steps", size.steps, limits.target.steps)
    if fixed := ruleset.fixed.model_dump(exclude_none=True):
        yield judge_fixed(ruleset.label, fixed, size)


def judge_limit(rule: str, what: str, found: int | None, limit: int) -> Finding:
    """Return whether a number is within its limit."""
    if found is None:
        return Finding("unknown", rule, f"the {what} are not known; the limit is {limit:,}")
    message = f"{found:,} {what}; the limit is {limit:,}"
    return Finding("fail" if found > limit else "pass", rule, message)


def judge_fixed(label: str, fixed: dict[str, str | int], size: RunSize) -> Finding:
    """Return whether a run keeps what a ruleset fixes."""
    found = {key: getattr(size, key) for key in fixed}
    changed = [key for key in fixed if found[key] not in (None, fixed[key])]
    unknown = [key for key in fixed if found[key] is None]
    if changed:
        differences = (f"{key} {in_words(fixed[key])}, found {in_words(found[key])}" for key in changed)
        return Finding("fail", FIXED, f"{label} fixes {'; '.join(differences)}")
    kept = ", ".join(f"{key} {in_words(value)}" for key, value in fixed.items() if key not in unknown)
    if unknown:
        return Finding("unknown", FIXED, f"{label} fixes {', '.join(fixed)}; not known here: {', '.join(unknown)}")
    return Finding("pass", FIXED, f"kept as {label} fixes them: {kept}")


def in_words(value: str | int) -> str:
    """Return a name as it is, a number with separators."""
    return f"{value:,}" if isinstance(value, int) else value


def judge_target(target: LossTarget, losses: Sequence[float], steps: int | None) -> Finding:
    """Return whether the mean of seeds reaches the loss of a target.

    Args:
        target: The loss and its margin.
        losses: Validation loss of each seed, in nats per token.
        steps: Optimizer steps of every seed; None if they differ or are not known.
    """
    mean, count = fmean(losses), len(losses)
    margin = (target.val_loss - mean) * sqrt(count)
    is_reached = mean <= target.val_loss and margin >= target.margin
    severity: Severity = "pass" if is_reached else "fail"
    message = f"mean val_loss {mean:.5f} of {count} {'seed' if count == 1 else 'seeds'}"
    message += "" if steps is None else f" after {steps:,} steps"
    message += f"; the target is {target.val_loss:g}"
    if target.margin:
        message += f", ({target.val_loss:g} - mean) * sqrt(n) is {margin:.5f} and must be at least {target.margin:g}"
    return Finding(severity, TARGET, message)
