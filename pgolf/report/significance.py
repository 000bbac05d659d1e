"""Significance of a group's advantage over a baseline: one-sided Welch's test, with and without a margin."""

from collections.abc import Callable, Iterator, Sequence
from math import log
from statistics import fmean, variance
from typing import Any

from pgolf.alike import SCORES_EQUAL, SEEDS_ALIKE
from pgolf.errors import UsageError
from pgolf.findings import Finding
from pgolf.report.rows import Group, scores_by_seed
from pgolf.rulesets.limits import LIMIT_RULES
from pgolf.rulesets.ruleset import Significance
from pgolf.statistics import paired_test, welch_from_errors, welch_test

# Largest number of seeds of a group that is considered when more are suggested.
MOST_SEEDS = 100
# Runs with one tokenizer differ by less than this share in bytes per token.
SAME_TOKENIZER = 0.005
# Problems of a group that none of its runs has, and that leave its mean without a meaning.
RULES_OF_MEANS = frozenset({SEEDS_ALIKE, SCORES_EQUAL, "mixed_evaluations"})


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
    """Return the test of each group against a baseline; None, after a message, where no test is possible."""
    found: list[dict[str, Any] | None] = []
    for group in groups:
        if (reason := why_untested(group, baseline)) is not None:
            on_skip(f"{group.name} is not tested against {baseline.name}: {reason}")
            found.append(None)
        else:
            found.append(assess_significance(group, baseline, significance))
    return found


def why_untested(group: Group, baseline: Group) -> str | None:
    """Return why two groups cannot be tested; None if they can."""
    if min(len(group.rows), len(baseline.rows)) < 2:
        return f"they have {len(group.rows)} and {len(baseline.rows)} seeds, and a test needs at least 2 of each"
    if unknown := next((each for each in (group, baseline) if None in [row.val_loss for row in each.rows]), None):
        return f"{unknown.name} has scores in bits per byte alone, and the margin is in nats per token"
    return next((f"{each.name}: {problem.message}" for each in (group, baseline) if (problem := alike_of(each))), None)


def alike_of(group: Group) -> Finding | None:
    """Return the problem that runs of a group are one run, or have one score; None if it has no such problem."""
    return next((problem for problem in group.problems() if problem.rule in (SEEDS_ALIKE, SCORES_EQUAL)), None)


def assess_significance(group: Group, baseline: Group, significance: Significance) -> dict[str, Any]:
    """Return the object `versus` of a group.

    Raises:
        UsageError: one of the groups has fewer than two seeds, or seeds that are one run.
    """
    if (reason := why_untested(group, baseline)) is not None:
        raise UsageError(f"{group.name} and {baseline.name} cannot be compared: {reason}")
    new, old = [row.val_bpb for row in group.rows], [row.val_bpb for row in baseline.rows]
    new_nats, old_nats = losses_of(group), losses_of(baseline)
    nats_per_bpb = mean_nats_per_bpb(new_nats, new)
    is_same_tokenizer = have_same_tokenizer(group, baseline)
    margin = significance.margin_nats / nats_per_bpb
    plain, with_margin = welch_test(new, old), welch_test(new, old, margin)
    shared = paired_test(scores_by_seed(group), scores_by_seed(baseline))
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


def have_same_tokenizer(first: Group, second: Group) -> bool:
    """Return whether two groups have the same bytes per token.

    Nats per token compare only between equal tokenizers; bits per byte always compare.
    """
    one, other = (mean_nats_per_bpb(losses_of(group), [row.val_bpb for row in group.rows]) for group in (first, second))
    return abs(one / other - 1) <= SAME_TOKENIZER


def caveats(group: Group, baseline: Group) -> list[str]:
    """Return why two groups may not be comparable: other data, other scoring, broken limits, numbers in question."""
    facts = group.as_json(), baseline.as_json()
    names = group.name, baseline.name
    found = [*caveats_of_data(facts, names)]
    for key in ("stage", "protocol"):
        found += caveats_of_scoring(key, [{str(seed[key]) for seed in each["seeds"]} for each in facts], names)
    return [*found, *caveats_of_failures(group), *caveats_of_failures(baseline)]


def caveats_of_data(facts: Sequence[dict[str, Any]], names: Sequence[str]) -> Iterator[str]:
    """Yield a caveat if data hashes differ or are not known.

    The logs of public records have no hash; their own checks compare the bytes of the scored text with the contest's.
    """
    hashes = [each.get("data_sha256") for each in facts]
    unknown = [name for name, sha256 in zip(names, hashes, strict=True) if sha256 is None]
    if len(unknown) == 2 and not any("data_sha256" in each for each in facts):
        return
    if unknown:
        yield f"they may not be scored on the same text: no data hash is known of {' and '.join(unknown)}"
    elif hashes[0] != hashes[1]:
        yield "they may not be scored on the same text: their data hashes differ"


def caveats_of_scoring(key: str, ways: Sequence[set[str]], names: Sequence[str]) -> Iterator[str]:
    """Yield caveats if the stages or protocols of the scores differ or are not known."""
    known = [each - {"unknown"} for each in ways]
    if len(known[0] | known[1]) > 1:
        listed = "; ".join(f"{name} {', '.join(sorted(each))}" for name, each in zip(names, ways, strict=True))
        yield f"{key}s differ: {listed}"
    elif known != list(ways):
        unknown = [name for name, each in zip(names, ways, strict=True) if "unknown" in each]
        yield f"the {key} of {' and '.join(unknown)} is not known"


def caveats_of_failures(group: Group) -> Iterator[str]:
    """Yield caveats if runs of a group break a limit, or fail checks that put their numbers in question."""
    failed = [[problem.rule for problem in row.problems() if problem.severity == "fail"] for row in group.rows]
    for meaning, are_limits in (("break a limit", True), ("fail a check", False)):
        rules = [[rule for rule in each if (rule in LIMIT_RULES) == are_limits] for each in failed]
        if broken := sum(map(bool, rules)):
            listed = ", ".join(dict.fromkeys(rule for each in rules for rule in each))
            yield f"{broken} of the {len(group.rows)} runs of {group.name} {meaning}: {listed}"
    for problem in group.problems():
        if problem.rule in RULES_OF_MEANS:
            yield f"{group.name}: {problem.message}"


def describe_t(t: float | None) -> str:
    """Return a t statistic as text."""
    return "undefined without spread" if t is None else f"{t:.3f}"


def losses_of(group: Group) -> list[float]:
    """Return the losses of the rows that have one."""
    return [row.val_loss for row in group.rows if row.val_loss is not None]


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
