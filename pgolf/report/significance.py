"""Is one group better than another? One-sided, by Welch's test, with the contest's margin and without."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import fmean, stdev, variance
from typing import Any

from pgolf.errors import UsageError
from pgolf.report.rows import Group
from pgolf.rulesets.ruleset import Significance

# More seeds than anybody would pay for decide nothing.
MOST_SEEDS = 100
# Bytes a token differ by less than this between runs on one tokenizer.
SAME_TOKENIZER = 0.005


@dataclass(frozen=True, slots=True)
class Test:
    """A one-sided test of mean(new) < mean(old) - margin."""

    t: float | None
    """None where there is no spread at all, and the difference alone decides."""
    df: float
    p: float


def welch(new: Sequence[float], old: Sequence[float], margin: float = 0.0) -> Test:
    """Welch's test for unequal variances. Both samples have at least two values.

    Without any spread the difference decides: p is 0 or 1.
    """
    parts = variance(new) / len(new), variance(old) / len(old)
    return of_parts(fmean(new) - (fmean(old) - margin), parts, (len(new), len(old)))


def of_parts(difference: float, parts: tuple[float, float], sizes: tuple[int, int]) -> Test:
    """The test of a difference of means, from the squared standard errors of both."""
    from scipy.special import stdtr

    error = sum(parts)
    if error == 0:
        return Test(None, float(sum(sizes) - 2), float(difference >= 0))
    df = welch_degrees(parts, sizes)
    t = difference / sqrt(error)
    return Test(t, df, float(stdtr(df, t)))


def welch_degrees(parts: tuple[float, float], sizes: tuple[int, int]) -> float:
    """Degrees of freedom of a difference of means, from the squared standard errors of both."""
    return float(sum(parts) ** 2 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True)))


def paired(new: dict[int, float], old: dict[int, float]) -> tuple[int, Test] | None:
    """How many seeds both groups have, and the one-sided paired test over them; None for fewer than two."""
    from scipy.special import stdtr

    differences = [new[seed] - old[seed] for seed in new if seed in old]
    if len(differences) < 2:
        return None
    n, spread = len(differences), stdev(differences)
    if spread == 0:
        return n, Test(None, n - 1.0, float(fmean(differences) >= 0))
    t = fmean(differences) / (spread / sqrt(n))
    return n, Test(t, n - 1.0, float(stdtr(n - 1, t)))


def seeds_to_decide(new: Sequence[float], old: Sequence[float], margin: float, threshold: float) -> int | None:
    """How many more new seeds, at this mean and spread, would bring p below a threshold; None if no number does."""
    part_new, part_old = variance(new), variance(old) / len(old)
    difference = fmean(new) - (fmean(old) - margin)
    for n in range(len(new), MOST_SEEDS + 1):
        if of_parts(difference, (part_new / n, part_old), (n, len(old))).p < threshold:
            return n - len(new)
    return None


def compare(group: Group, baseline: Group, significance: Significance) -> dict[str, Any]:
    """The object `versus` of a group.

    Raises: UsageError where one of them has fewer than two seeds.
    """
    if min(len(group.rows), len(baseline.rows)) < 2:
        raise UsageError(f"{group.name} and {baseline.name} cannot be compared: each needs two seeds or more")
    new, old = [row.val_bpb for row in group.rows], [row.val_bpb for row in baseline.rows]
    new_nats, old_nats = [row.val_loss for row in group.rows], [row.val_loss for row in baseline.rows]
    nats_a_bpb, old_nats_a_bpb = rate(new_nats, new), rate(old_nats, old)
    # Nats a token compare between equal tokenizers only; bits per byte always do.
    is_same_tokenizer = abs(nats_a_bpb / old_nats_a_bpb - 1) <= SAME_TOKENIZER
    margin = significance.margin_nats / nats_a_bpb
    plain, with_margin = welch(new, old), welch(new, old, margin)
    shared = paired({row.seed: row.val_bpb for row in group.rows}, {row.seed: row.val_bpb for row in baseline.rows})
    return {
        "baseline": baseline.name,
        "delta_bpb": fmean(new) - fmean(old),
        "delta_nats": fmean(new_nats) - fmean(old_nats)
        if is_same_tokenizer
        else (fmean(new) - fmean(old)) * nats_a_bpb,
        "same_tokenizer": is_same_tokenizer,
        "caveats": caveats(group, baseline),
        "bytes_per_token": nats_a_bpb / log(2),
        "margin_bpb": margin,
        "welch_t": plain.t,
        "df": plain.df,
        "p_one_sided": plain.p,
        "p_with_margin": with_margin.p,
        "nats": in_nats(new_nats, old_nats, significance.margin_nats) if is_same_tokenizer else None,
        "strict": with_margin.p < significance.strict_p,
        "practice": plain.p < significance.practice_p,
        "more_seeds_for_strict": seeds_to_decide(new, old, margin, significance.strict_p),
        "more_seeds_for_practice": seeds_to_decide(new, old, 0.0, significance.practice_p),
        "paired": None
        if shared is None
        else {"n": shared[0], "t": shared[1].t, "df": shared[1].df, "p_one_sided": shared[1].p},
    }


def caveats(group: Group, baseline: Group) -> list[str]:
    """Why the two may not compare: other text, another way of scoring, runs that break a limit."""
    found = []
    one, other = group.as_json(), baseline.as_json()
    hashes = one.get("data_sha256"), other.get("data_sha256")
    if hashes[0] != hashes[1]:
        found.append("they are not known to be scored on the same text")
    for key in ("stage", "protocol"):
        ways = {str(seed[key]) for each in (one, other) for seed in each["seeds"]}
        if len(ways) > 1:
            found.append(f"{key}s differ: {', '.join(sorted(ways))}")
    for each in (group, baseline):
        broken = sum(any(problem.severity == "fail" for problem in row.problems()) for row in each.rows)
        if broken or each.is_over_limit:
            found.append(f"{max(1, broken)} of the {len(each.rows)} runs of {each.name} break a limit")
    return found


def t_in_words(t: float | None) -> str:
    """A t statistic; of samples without spread there is none."""
    return "none, for there is no spread" if t is None else f"{t:.3f}"


def rate(losses: Sequence[float], scores: Sequence[float]) -> float:
    """Nats a token that one bit per byte is, which depends on the tokenizer."""
    return fmean(loss / bpb for loss, bpb in zip(losses, scores, strict=True))


def in_nats(new: Sequence[float], old: Sequence[float], margin: float) -> dict[str, float | None]:
    """The test over nats a token."""
    test = welch(new, old)
    return {
        "welch_t": test.t,
        "df": test.df,
        "p_one_sided": test.p,
        "p_with_margin": welch(new, old, margin).p,
    }


def versus_lines(name: str, facts: dict[str, Any]) -> list[str]:
    """A comparison for people."""
    better = "better" if facts["delta_bpb"] < 0 else "worse"
    bpb, nats, margin = abs(facts["delta_bpb"]), abs(facts["delta_nats"]), facts["margin_bpb"]
    other = "" if facts["same_tokenizer"] else "; of another tokenizer, so nats are those of the bpb"
    strict = verdict(facts["strict"], facts["more_seeds_for_strict"])
    practice = verdict(facts["practice"], facts["more_seeds_for_practice"])
    lines = [
        f"{name} against {facts['baseline']}: {bpb:.6f} bpb ({nats:.6f} nats) {better}{other}",
        f"Welch t {t_in_words(facts['welch_t'])}, df {facts['df']:.2f}, one-sided p {facts['p_one_sided']:.4g}; "
        f"with the margin of {margin:.5f} bpb p {facts['p_with_margin']:.4g}",
        f"strict rule: {strict}; practice: {practice}",
    ]
    lines += [f"but: {caveat}" for caveat in facts["caveats"]]
    if (shared := facts["paired"]) is not None:
        lines.append(
            f"paired over {shared['n']} shared seeds: t {t_in_words(shared['t'])}, "
            f"one-sided p {shared['p_one_sided']:.4g}"
        )
    return lines


def verdict(is_met: bool, more: int | None) -> str:
    """A verdict, and what would change it."""
    if is_met:
        return "met"
    if more is None:
        return "not met, and no number of seeds at this mean and spread would"
    return f"not met; {more} more seeds at this spread would"
