"""Claims that the logs do not support. None is named where the logs leave open what the claim is about."""

import re
from collections.abc import Iterator

from pgolf.findings import Severity
from pgolf.records.claims import Claims
from pgolf.records.deviation import judge_deviation
from pgolf.records.evidence import printed_score, printed_seeds, printed_size
from pgolf.records.folder import CODE_SUFFIXES, walk_files
from pgolf.records.lead import default_reading, readings
from pgolf.records.log_names import set_words
from pgolf.records.mentions import is_mean_stated, is_printed
from pgolf.records.printed import Printed, Problem, agree, coarser_decimals, mean_of, problem
from pgolf.records.rows import RecordGroup, RecordRow
from pgolf.records.submission_json import FILE
from trainer.dialects.headline import evaluations
from trainer.dialects.logged import LoggedRun

# Authors round bytes to four or more digits.
BYTES_TOLERANCE = 1e-4
# A claim of fewer is in megabytes.
FEWEST_BYTES = 1_000
NO_LOG_SUFFIXES = (*CODE_SUFFIXES, ".md", ".json", ".yaml", ".yml", ".png")


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
    """Yield a warning where it is not clear which logs, or which lines of them, the submission speaks of."""
    if group.ambiguous:
        means = ", ".join(f"{mean.value:.8f} of {mean.file}" for mean in group.ambiguous)
        yield problem("warn", "ambiguous", f"the claims name none of several candidates: {means}", *group.ambiguous)
    if group.is_mention and group.spread is not None:
        scores = [printed_score(row.run, row.score) for row in group.rows]
        message = f"only the claims name `{group.label}`, whose mean is {group.spread.mean:.8f}"
        message += "; it is not read as an evaluation"
        other = default_reading([row.run for row in group.rows])
        if other.scores:
            message += f"; the mean of the last evaluation, `{other.label}`, is {other.mean:.8f}"
        yield problem("warn", "claim_names_another_line", message, *scores, *other.printed.values())


def seed_claims(group: RecordGroup) -> Iterator[Problem]:
    """Yield claimed seeds without a log, and logged seeds that are not claimed."""
    claims, runs = group.record.claims, group.record.runs
    missing = [seed for seed in claims.seeds if is_missing(group, seed)]
    if missing:
        message = f"there is no log of seed {', '.join(map(str, missing))}"
        # With as many logs as claimed seeds, one of them may show a default seed, and not that of its run.
        has_room = len(runs) >= len(claims.seeds)
        is_certain = group.track.severity == "fail" and not has_room
        severity: Severity = "fail" if is_certain and claims.has_seeds_in_submission else "warn"
        stated = [claims.bpb_by_seed[seed] for seed in missing if seed in claims.bpb_by_seed]
        yield problem(severity, "missing_seed_log", message, *stated, *printed_seeds(runs))
    elif mislabelled := [run for run in runs if is_run_of_another_seed(group, run)]:
        names = ", ".join(f"{run.file} is named after it and prints seed {run.seed}" for run in mislabelled)
        seeds = ", ".join(str(run.named_seed) for run in mislabelled)
        message = f"there may be no log of seed {seeds}: {names}"
        yield problem("warn", "missing_seed_log", message, *printed_seeds(mislabelled))
    more = unclaimed_runs(group)
    if claims.seeds and more and not missing and len(runs) > len(claims.seeds):
        seeds = ", ".join(str(run.seed) for run in more)
        message = f"the logs also have seed {seeds}, which is not claimed"
        yield problem("warn", "seeds_claimed_incomplete", message, *printed_seeds(more))


def unclaimed_runs(group: RecordGroup) -> list[LoggedRun]:
    """Return the runs of seeds that are not claimed, among those that lead and among logs of the same kind beside."""
    leading = [row.run for row in group.rows]
    kinds = {(run.parameters, run.wallclock_limit, set_words(run)) for run in leading}
    return [
        run
        for run in group.record.runs
        if run.seed is not None
        and run.seed not in group.record.claims.seeds
        and (run in leading or (run.parameters, run.wallclock_limit, set_words(run)) in kinds)
    ]


def is_missing(group: RecordGroup, seed: int) -> bool:
    """Return whether no log can be that of a claimed seed."""
    record = group.record
    claimed = record.claims.bpb_by_seed.get(seed)
    others = [run for run in record.runs if run.seed not in record.claims.seeds]
    is_found = claimed is not None and any(has_score(run, claimed) for run in others)
    is_known = any(run.seed is None or seed in (run.seed, run.named_seed) for run in record.runs)
    if not record.claims.has_seeds_in_submission and not any(run.seed in record.claims.seeds for run in record.runs):
        return False  # the README's table may be of other work
    return not (is_found or is_known or record.unreadable or has_file_named(group, seed))


def has_file_named(group: RecordGroup, seed: int) -> bool:
    """Return whether a file that may be a log has the seed in its path."""
    folder, number = group.record.folder, re.compile(rf"(?<!\d){seed}(?!\d)")
    files = [path for path in walk_files(folder) if path.suffix not in NO_LOG_SUFFIXES]
    return any(number.search(path.relative_to(folder).as_posix()) for path in files)


def is_run_of_another_seed(group: RecordGroup, run: LoggedRun) -> bool:
    """Return whether a training log is named after a claimed seed, has no other log, and prints another seed.

    A seed that several such logs print is a default that the script dumps, and says nothing.
    """
    record = group.record
    is_claimed = run.named_seed in record.claims.seeds and run.named_seed not in {each.seed for each in record.runs}
    if (
        not is_claimed
        or not run.is_named_after_seed
        or not run.seed_line
        or run.is_evaluation
        or run.seed in record.claims.seeds
    ):
        return False
    return sum(each.seed == run.seed for each in record.runs) == 1


def score_claims(group: RecordGroup) -> Iterator[Problem]:
    """Yield claimed scores that no log has, and a headline that is not the mean."""
    if not is_settled(group):
        return
    claims = group.record.claims
    foreign = [(seed, claim) for seed, claim in claims.bpb_by_seed.items() if not is_logged(group, seed, claim)]
    if foreign:
        stated = ", ".join(f"{claim.value} of seed {seed}" for seed, claim in foreign)
        found = [printed_score(row.run, row.score) for row in group.rows if row.run.seed in dict(foreign)]
        evidence = (*(claim for _, claim in foreign), *found)
        decimals = min(coarser_decimals(claim, score) for _, claim in foreign for score in (found or [claim]))
        severity: Severity = "fail" if group.track.has_limits else "warn"
        message = f"no evaluation in the logs has the claimed {stated}"
        if all(is_printed(claim, group.record, logs_of_others(group, seed)) for seed, claim in foreign):
            message, severity = f"{message}; they print it elsewhere, not as a score that is read", "warn"
        yield problem(severity, "claim_not_in_logs", message, *evidence, decimals=decimals)
    if claims.headline is not None:
        yield from headline_problems(group, claims.headline, has_foreign=bool(foreign))


def logs_of_others(group: RecordGroup, seed: int) -> set[str]:
    """Return the logs that hold runs of other claimed seeds only: what they print is not of this seed."""
    seeds: dict[str, set[int | None]] = {}
    for run in group.record.runs:
        seeds.setdefault(run.file, set()).add(run.seed)
    others = {*group.record.claims.seeds} - {seed}
    return {file for file, found in seeds.items() if found <= others}


def is_settled(group: RecordGroup) -> bool:
    """Return whether the logs of all claimed seeds were read whole, and each score has one reading."""
    seeds = [row.run.seed for row in group.rows]
    is_read = not group.record.unreadable and all(row.score.stage != "prequant" for row in group.rows)
    is_complete = set(group.record.claims.seeds) <= set(seeds) or any(
        is_run_of_another_seed(group, row.run) for row in group.rows
    )
    return is_read and is_complete and not group.ambiguous and None not in seeds and len(set(seeds)) == len(seeds)


def is_logged(group: RecordGroup, seed: int, claim: Printed) -> bool:
    """Return whether a log has a claimed score: its seed's, or one that is no other claimed seed's."""
    if any(row.run.seed == seed and agree(claim, printed_score(row.run, row.score)) for row in group.rows):
        return True
    claims, runs = group.record.claims.bpb_by_seed, group.record.runs
    own = [run for run in runs if seed in (run.seed, run.named_seed)]
    taken = [run for run in runs if run.seed in claims and has_score(run, claims[run.seed])]
    return not own or any(has_score(run, claim) for run in runs if run in own or run not in taken)


def has_score(run: LoggedRun, claim: Printed) -> bool:
    """Return whether a run prints a score, or a validation during training, that agrees with a claim.

    A summary that the log's own evaluation contradicts does not count.
    """
    before = [score for score in run.scores if score.stage == "prequant"]
    packed = [score for evaluation in evaluations(run) for score in evaluation.scores]
    return any(agree(claim, printed_score(run, score)) for score in (*before, *packed)) or any(
        agree(claim, Printed(bpb, claim.decimals, run.file)) for _, _, bpb in run.validations
    )


def headline_problems(group: RecordGroup, headline: Printed, has_foreign: bool) -> Iterator[Problem]:
    """Yield a headline that is the best seed's score, or no mean of scores that the logs have."""
    claims, scores = group.record.claims, [printed_score(row.run, row.score) for row in group.rows]
    mean = mean_of(scores, "mean of the logs")
    if agree(headline, mean):
        return
    evidence, decimals = (headline, mean, *scores), coarser_decimals(headline, mean)
    best = min(scores, key=lambda score: score.value)
    if len(scores) > 1 and agree(headline, best):
        message = f"the headline {headline.value} is the best seed's score; the mean is {mean.value:.8f}"
        severity: Severity = "fail" if group.track.has_limits else "warn"
        if is_mean_stated(group.record, mean):
            message, severity = f"{message}; the author states the mean, or another headline, too", "warn"
        elif len(claims.seeds) == 1 and len(scores) > 1 and claims.has_seeds_in_submission and not claims.stds:
            message, severity = f"{message}, of seeds that are not claimed", "warn"
        yield problem(severity, "best_seed_headline", message, *evidence, decimals=decimals)
        return
    claimed = list(claims.bpb_by_seed.values())
    if claimed and agree(headline, mean_of(claimed, "mean of the claimed scores")):
        if not has_foreign and not has_mean(group.rows, headline):
            message = f"the headline {headline.value} is the mean of the claimed scores"
            message += f"; the mean of the logs is {mean.value:.8f}"
            yield problem("warn", "claim_not_in_logs", message, *claimed, *evidence, decimals=decimals)
        return
    if has_mean(group.rows, headline):
        return
    if any(has_score(run, headline) for run in group.record.runs):
        message = f"the headline {headline.value} is a score of one log; the mean is {mean.value:.8f}"
        yield problem("warn", "wrong_mean", message, *evidence, decimals=decimals)
        return
    message = f"the headline is {headline.value}; the mean of the logs is {mean.value:.8f}"
    # Without a score for each seed, the author does not say which scores the headline is the mean of.
    is_known = scored_seeds(claims) == {row.run.seed for row in group.rows}
    yield problem("fail" if is_known else "warn", "wrong_mean", message, *evidence, decimals=decimals)


def scored_seeds(claims: Claims) -> set[int | None]:
    """Return the claimed seeds if submission.json gives a score for each; else none, for there may be more seeds."""
    scored = {seed for seed, claim in claims.bpb_by_seed.items() if claim.file == FILE}
    return set(scored) if scored == set(claims.seeds) else set()


def has_mean(rows: list[RecordRow], headline: Printed) -> bool:
    """Return whether a headline is the mean of another score that all rows have, or of the claimed rows alone."""
    others = readings([row.run for row in rows])
    return any(agree(headline, mean_of(list(each.printed.values()), "mean")) for each in others)


def deviation_claims(group: RecordGroup) -> Iterator[Problem]:
    """Yield the claimed standard deviation if it is not, or not surely, that of the sample."""
    if group.spread is None or not is_settled(group):
        return
    scores = [printed_score(row.run, row.score) for row in group.rows]
    claimed = [group.record.claims.bpb_by_seed.get(row.seed) for row in group.rows]
    if any(claim is not None and not agree(claim, score) for claim, score in zip(claimed, scores, strict=True)):
        return  # the claimed deviation is that of other scores
    if (wrong := judge_deviation(list(group.record.claims.stds.values()), scores)) is not None:
        yield wrong


def size_claims(group: RecordGroup) -> Iterator[Problem]:
    """Yield claimed bytes that no log prints."""
    claims = group.record.claims
    stated = [each for each in (*claims.bytes_by_seed.values(), claims.bytes_total) if each is not None]
    logged = [each for run in group.record.runs for each in logged_bytes(run)]
    if not logged or group.record.unreadable:
        return
    foreign = []
    for claim in stated:
        nearest = min(logged, key=lambda size: abs(size.value - claim.value))
        if claim.value >= FEWEST_BYTES and abs(nearest.value - claim.value) > precision_of(claim):
            foreign += [claim, nearest]
    if foreign:
        listed = ", ".join(f"{claim.value:,}" for claim in foreign[::2])
        yield problem("warn", "claimed_bytes_not_in_logs", f"no log has the claimed {listed} bytes", *foreign)


def precision_of(claim: Printed) -> float:
    """Return by how many bytes a claim may differ from a size: it may be rounded, as its zeros at the end show."""
    digits = f"{claim.value:.0f}"
    return max(claim.value * BYTES_TOLERANCE, 0.5 * 10.0 ** (len(digits) - len(digits.rstrip("0"))))


def logged_bytes(run: LoggedRun) -> Iterator[Printed]:
    """Yield the sizes that a log prints, those of the packed model included: authors claim either."""
    for size in run.sizes:
        yield printed_size(run, size)
        if size.model is not None:
            yield Printed(size.model, 0, run.file, size.line, f"{size.label} model")
    if run.sizes and run.model_bytes is not None:
        yield Printed(run.model_bytes, 0, run.file, None, "Serialized model")
