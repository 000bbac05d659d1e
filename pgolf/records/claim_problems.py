"""The claims of a record that its logs do not support."""

from collections.abc import Iterator
from statistics import fmean

from pgolf.records.claims import Claims
from pgolf.records.lead import printed_score
from pgolf.records.printed import MOST_DECIMALS, Printed, Problem, agree, coarser_decimals, computed, problem
from pgolf.records.rows import UNKNOWN_SEED, RecordGroup
from trainer.dialects.headline import evaluations

CLAIMED_BYTES_TOLERANCE = 1e-4


def claim_problems(group: RecordGroup) -> list[Problem]:
    """Return the claims that the logs do not support."""
    return [
        *lead_problems(group),
        *seed_claims(group),
        *score_claims(group),
        *deviation_claims(group),
        *size_claims(group),
    ]


def lead_problems(group: RecordGroup) -> Iterator[Problem]:
    """Yield a warning where it is not clear which logs the submission speaks of."""
    if group.ambiguous:
        means = ", ".join(f"{mean.value:.8f} of {mean.file}" for mean in group.ambiguous)
        yield problem("warn", "ambiguous", f"the claims name none of several sets of logs: {means}", *group.ambiguous)


def seed_claims(group: RecordGroup) -> Iterator[Problem]:
    """Yield claimed seeds of which there is no log, and logged ones that are not claimed.

    A log that shows no seed may be that of any claimed one.
    """
    claimed, logged = group.record.claims.seeds, [row.seed for row in group.rows]
    known = {run.seed for run in group.record.runs}
    missing = [] if None in known else [seed for seed in claimed if seed not in known]
    if missing:
        yield problem("fail", "missing_seed_log", f"there is no log of seed {', '.join(map(str, missing))}")
    more = [seed for seed in logged if seed not in claimed and seed != UNKNOWN_SEED]
    if claimed and more and not missing:
        yield problem(
            "warn",
            "seeds_claimed_incomplete",
            f"the logs also have seed {', '.join(map(str, more))}, which is not claimed",
        )


def score_claims(group: RecordGroup) -> Iterator[Problem]:
    """Yield claimed scores that no log has, and a headline that is not the mean; nothing of an ambiguous group."""
    claims, headline, spread = group.record.claims, group.record.claims.headline, group.spread
    if group.ambiguous or spread is None:
        return
    scores = [printed_score(row.score, row.run.file) for row in group.rows]
    mean = computed(spread.mean, scores, "mean")
    foreign = [(seed, bpb) for seed, bpb in claims.bpb_by_seed.items() if not is_logged(group, seed, bpb)]
    if foreign:
        claimed = ", ".join(f"{bpb.value} of seed {seed}" for seed, bpb in foreign)
        evidence = [bpb for _, bpb in foreign]
        yield problem("fail", "claim_not_in_logs", f"no log has the claimed {claimed}", *evidence, *scores)
    known = {run.seed for run in group.record.runs}
    if headline is None or any(seed not in known for seed in claims.seeds) or agree(headline, mean):
        return  # the mean of seeds without logs is not known
    decimals, evidence = coarser_decimals(headline, mean), [headline, mean, *scores]
    best = min(scores, key=lambda each: each.value)
    if len(scores) > 1 and agree(headline, best):
        message = f"the headline {headline.value} is the best seed's score; the mean is {mean.value:.8f}"
        yield problem("fail", "best_seed_headline", message, *evidence, decimals=decimals)
    elif claims.bpb_by_seed and agree(headline, mean_of_claims(claims)):
        if not foreign:
            message = f"the headline {headline.value} is the mean of the claimed scores; the mean of the logs is"
            yield problem("warn", "claim_not_in_logs", f"{message} {mean.value:.8f}", *evidence, decimals=decimals)
    elif is_logged(group, None, headline):
        message = f"the headline {headline.value} is a score of one log; the mean is {mean.value:.8f}"
        yield problem("warn", "wrong_mean", message, *evidence, decimals=decimals)
    else:
        message = f"the headline is {headline.value}; the mean of the logs is {mean.value:.8f}"
        yield problem("fail", "wrong_mean", message, *evidence, decimals=decimals)


def mean_of_claims(claims: Claims) -> Printed:
    """Return the mean of the claimed scores of the seeds."""
    stated = list(claims.bpb_by_seed.values())
    return computed(fmean(each.value for each in stated), stated, "mean of the claimed scores")


def is_logged(group: RecordGroup, seed: int | None, bpb: Printed) -> bool:
    """Return whether a log of the seed has the claimed score; true if there is no such log.

    A summary that the log's own evaluation contradicts does not have it.
    """
    runs = [run for run in group.record.runs if seed is None or run.seed == seed or run.named_seed == seed]
    scored = [
        printed_score(score, run.file)
        for run in runs
        for score in (
            *(score for score in run.scores if score.stage == "prequant"),
            *(score for evaluation in evaluations(run) for score in evaluation.scores),
        )
    ]
    return not runs or any(agree(bpb, score) for score in scored)


def agrees(claim: float, found: float) -> bool:
    """Return whether a claimed deviation is the found number rounded to the claim's decimals."""
    # Logs print eight decimals; a claim with more was computed from numbers that no log has.
    places = min(len(repr(claim).partition(".")[2]), MOST_DECIMALS)
    return abs(claim - found) <= 1.0000001 * 10.0**-places * (0.5 if places >= 6 else 0.51) + 1e-12


def deviation_claims(group: RecordGroup) -> Iterator[Problem]:
    """Yield a problem if the claimed standard deviation is not that of the sample."""
    spread = group.spread
    if spread is None or spread.std is None or spread.population_std is None:
        return
    claims = [std.value for std in group.record.claims.stds.values()]
    if not claims:
        return
    claim = max(claims, key=lambda value: len(repr(value)))
    is_sample, is_population = agrees(claim, spread.std), agrees(claim, spread.population_std)
    if is_sample and is_population:
        yield problem(
            "warn",
            "std_ambiguous_at_printed_precision",
            f"{claim} rounds both the sample and the population standard deviation",
        )
    elif is_population:
        yield problem(
            "warn",
            "population_std",
            f"{claim} is the population standard deviation; the sample's is {spread.std:.8f}",
        )
    elif not is_sample:
        yield problem(
            "warn", "wrong_std", f"{claim} is claimed as the standard deviation; the logs give {spread.std:.8f}"
        )


def size_claims(group: RecordGroup) -> Iterator[Problem]:
    """Yield claimed bytes that no log prints."""
    claims = group.record.claims
    stated = [int(each.value) for each in (*claims.bytes_by_seed.values(), claims.bytes_total) if each is not None]
    printed = [size.total for run in group.record.runs for size in run.sizes]
    foreign = [
        size
        for size in stated
        if printed and min(abs(size - total) for total in printed) > size * CLAIMED_BYTES_TOLERANCE
    ]
    if foreign:
        yield problem(
            "warn",
            "claimed_bytes_not_in_logs",
            f"no log has the claimed {', '.join(f'{size:,}' for size in foreign)} bytes",
        )
