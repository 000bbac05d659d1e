"""Judges runs, planned or finished, by the limits of a ruleset that are neither bytes nor seconds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from pgolf.findings import Finding
from pgolf.rulesets.ruleset import Ruleset

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


def judge_target(ruleset: Ruleset, losses: Sequence[float], sizes: Sequence[RunSize]) -> Finding | None:
    """Return whether the mean of seeds reaches the loss that a ruleset asks for; None if it asks for none.

    It is `unknown` where the mean does, and what the ruleset limits or fixes is broken or not known.

    Args:
        ruleset: The contest's.
        losses: Validation loss of each seed, in nats per token; at least one.
        sizes: What each of them used.
    """
    target = ruleset.limits.target
    if target is None:
        return None
    mean, count, steps = fmean(losses), len(losses), shared_steps(sizes)
    margin = (target.val_loss - mean) * sqrt(count)
    message = f"mean val_loss {mean:.5f} of {count} {'seed' if count == 1 else 'seeds'}"
    message += "" if steps is None else f" after {steps:,} steps"
    message += f"; the target is {target.val_loss:g}"
    if target.margin:
        message += f", ({target.val_loss:g} - mean) * sqrt(n) is {margin:.5f} and must be at least {target.margin:g}"
    if mean > target.val_loss or margin < target.margin:
        return Finding("fail", TARGET, message)
    doubts = [finding.rule for size in sizes for finding in judge_size(ruleset, size) if finding.severity != "pass"]
    if doubts:
        return Finding("unknown", TARGET, f"{message}; broken or not known: {', '.join(dict.fromkeys(doubts))}")
    return Finding("pass", TARGET, message)


def judge_seed(ruleset: Ruleset, loss: float, size: RunSize) -> Finding | None:
    """Return what one seed shows of a target, which the mean of all seeds has to reach; None without a target."""
    target = ruleset.limits.target
    if target is None:
        return None
    if loss > target.val_loss:
        return Finding("warn", TARGET, f"val_loss {loss:.5f} of this seed is over the target of {target.val_loss:g}")
    if target.margin:
        message = f"val_loss {loss:.5f} of this seed; `pgolf report` judges the mean of all seeds by its margin"
        return Finding("unknown", TARGET, message)
    return judge_target(ruleset, [loss], [size])


def shared_steps(sizes: Sequence[RunSize]) -> int | None:
    """Return the optimizer steps of all runs; None if they differ or are not known."""
    steps = {size.steps for size in sizes}
    return steps.pop() if len(steps) == 1 else None
