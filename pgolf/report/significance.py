"""Significance of a group's advantage over a baseline: one-sided Welch's test, with and without a margin."""

from collections.abc import Callable, Sequence
from math import log
from statistics import fmean, variance
from typing import Any

from pgolf.errors import UsageError
from pgolf.report.rows import Group
from pgolf.rulesets.ruleset import Significance
from pgolf.statistics import paired_test, welch_from_errors, welch_test

# Largest number of seeds of a group that is considered when more are suggested.
MOST_SEEDS = 100
# Runs with one tokenizer differ by less than this share in bytes per token.
SAME_TOKENIZER = 0.005


def more_seeds_needed(new: Sequence[float], old: Sequence[float], margin: float, threshold: float) -> int | None:
    """Return how many more new seeds, at this mean and spread, would bring p below a threshold; None if none would."""
    variance_new, error_old = variance(new), variance(old) / len(old)
    difference = fmean(new) - (fmean(old) - margin)
    for n in range(len(new), MOST_SEEDS + 1):
        if welch_from_errors(difference, (variance_new / n, error_old), (n, len(old))).p < threshold:
            return n - len(new)
    return None


def assess_all(
    groups: Sequence[Group], baseline: Group, significance: Significance, on_skip: Callable[[str], None]
) -> list[dict[str, Any] | None]:
    """Return the test of each group against a baseline; None, after a message, where there are too few seeds."""
    found: list[dict[str, Any] | None] = []
    for group in groups:
        if min(len(group.rows), len(baseline.rows)) < 2:
            on_skip(
                f"{group.name} is not tested against {baseline.name}: they have {len(group.rows)} and "
                f"{len(baseline.rows)} seeds, and a test needs at least 2 of each"
            )
            found.append(None)
        else:
            found.append(assess_significance(group, baseline, significance))
    return found


def assess_significance(group: Group, baseline: Group, significance: Significance) -> dict[str, Any]:
    """Return the object `versus` of a group.

    Raises:
        UsageError: one of the groups has fewer than two seeds.
    """
    if min(len(group.rows), len(baseline.rows)) < 2:
        raise UsageError(f"{group.name} and {baseline.name} cannot be compared: each needs at least two seeds")
    new, old = [row.val_bpb for row in group.rows], [row.val_bpb for row in baseline.rows]
    new_nats, old_nats = [row.val_loss for row in group.rows], [row.val_loss for row in baseline.rows]
    nats_per_bpb, old_nats_per_bpb = mean_nats_per_bpb(new_nats, new), mean_nats_per_bpb(old_nats, old)
    # Nats per token compare only between equal tokenizers; bits per byte always compare.
    is_same_tokenizer = abs(nats_per_bpb / old_nats_per_bpb - 1) <= SAME_TOKENIZER
    margin = significance.margin_nats / nats_per_bpb
    plain, with_margin = welch_test(new, old), welch_test(new, old, margin)
    shared = paired_test(
        {row.seed: row.val_bpb for row in group.rows}, {row.seed: row.val_bpb for row in baseline.rows}
    )
    return {
        "baseline": baseline.name,
        "delta_bpb": fmean(new) - fmean(old),
        "delta_nats": fmean(new_nats) - fmean(old_nats)
        if is_same_tokenizer
        else (fmean(new) - fmean(old)) * nats_per_bpb,
        "same_tokenizer": is_same_tokenizer,
        "caveats": caveats(group, baseline),
        "bytes_per_token": nats_per_bpb / log(2),
        "margin_bpb": margin,
        "welch_t": plain.t,
        "df": plain.df,
        "p_one_sided": plain.p,
        "p_with_margin": with_margin.p,
        "nats": significance_in_nats(new_nats, old_nats, significance.margin_nats) if is_same_tokenizer else None,
        "strict": with_margin.p < significance.strict_p,
        "practice": plain.p < significance.practice_p,
        "more_seeds_for_strict": more_seeds_needed(new, old, margin, significance.strict_p),
        "more_seeds_for_practice": more_seeds_needed(new, old, 0.0, significance.practice_p),
        "paired": None
        if shared is None
        else {"n": shared[0], "t": shared[1].t, "df": shared[1].df, "p_one_sided": shared[1].p},
    }


def caveats(group: Group, baseline: Group) -> list[str]:
    """Return why two groups may not be comparable: different text, different scoring, runs that break a limit."""
    found = []
    one, other = group.as_json(), baseline.as_json()
    hashes = one.get("data_sha256"), other.get("data_sha256")
    if hashes[0] != hashes[1]:
        found.append("the two groups may not be scored on the same text: their data hashes differ or are unknown")
    for key in ("stage", "protocol"):
        ways = {str(seed[key]) for each in (one, other) for seed in each["seeds"]}
        if len(ways) > 1:
            found.append(f"{key}s differ: {', '.join(sorted(ways))}")
    for each in (group, baseline):
        broken = sum(any(problem.severity == "fail" for problem in row.problems()) for row in each.rows)
        if broken or each.is_over_limit:
            found.append(f"{max(1, broken)} of the {len(each.rows)} runs of {each.name} break a limit")
    return found


def describe_t(t: float | None) -> str:
    """Return a t statistic as text."""
    return "undefined without spread" if t is None else f"{t:.3f}"


def mean_nats_per_bpb(losses: Sequence[float], scores: Sequence[float]) -> float:
    """Return the nats per token that correspond to one bit per byte; it depends on the tokenizer."""
    return fmean(loss / bpb for loss, bpb in zip(losses, scores, strict=True))


def significance_in_nats(new: Sequence[float], old: Sequence[float], margin: float) -> dict[str, float | None]:
    """Return Welch's test over nats per token."""
    test = welch_test(new, old)
    return {
        "welch_t": test.t,
        "df": test.df,
        "p_one_sided": test.p,
        "p_with_margin": welch_test(new, old, margin).p,
    }


def describe_significance(name: str, facts: dict[str, Any]) -> list[str]:
    """Return the object `versus` of a group as lines of text."""
    better = "better" if facts["delta_bpb"] < 0 else "worse"
    bpb, nats, margin = abs(facts["delta_bpb"]), abs(facts["delta_nats"]), facts["margin_bpb"]
    other = "" if facts["same_tokenizer"] else "; the tokenizers differ, so nats are converted from bpb"
    strict = describe_rule(facts["strict"], facts["more_seeds_for_strict"])
    practice = describe_rule(facts["practice"], facts["more_seeds_for_practice"])
    lines = [
        f"{name} against {facts['baseline']}: {bpb:.6f} bpb ({nats:.6f} nats) {better}{other}",
        f"Welch t {describe_t(facts['welch_t'])}, df {facts['df']:.2f}, one-sided p {facts['p_one_sided']:.4g}; "
        f"with a margin of {margin:.5f} bpb p {facts['p_with_margin']:.4g}",
        f"strict rule: {strict}; practice: {practice}",
    ]
    lines += [f"caveat: {caveat}" for caveat in facts["caveats"]]
    if (shared := facts["paired"]) is not None:
        lines.append(
            f"paired over {shared['n']} shared seeds: t {describe_t(shared['t'])}, "
            f"one-sided p {shared['p_one_sided']:.4g}"
        )
    return lines


def describe_rule(is_met: bool, more: int | None) -> str:
    """Return whether a rule is met, and how many more seeds would meet it."""
    if is_met:
        return "met"
    if more is None:
        return f"not met; up to {MOST_SEEDS} seeds at this mean and spread would not meet it"
    return f"not met; {more} more seeds at this mean and spread would meet it"
