"""Which logs and which evaluation a submission speaks of: those that its claims name, else the last evaluation.

A folder may also hold a baseline, an older version or an ablation, and a log may score a model in several ways. Where
the claims name none of them and several are equally likely, the choice is ambiguous.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from pgolf.records.claims import Claims
from pgolf.records.evidence import printed_score
from pgolf.records.printed import Printed, agree, coarser_decimals, computed
from trainer.dialects.headline import evaluations, headline_kind, headline_of, timed
from trainer.dialects.logged import LoggedRun
from trainer.dialects.scores import Score

# The last evaluations of one label that may be meant; a script that scores more often prints its progress.
MOST_REPEATS = 3
# A headline of fewer decimals may be a seed's score by chance.
FEWEST_DECIMALS = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """Runs that may be averaged, and the score of each that is reported."""

    runs: list[LoggedRun]
    label: str | None
    scores: dict[int, Score]
    """By position in `runs`; a run that lacks the score is absent."""
    is_claimed: bool = False
    """Whether the claims name this score; else it is the last one that all runs have."""
    is_mention: bool = False
    """Whether the lines of the scores are none that are read as an evaluation."""

    @property
    def printed(self) -> dict[int, Printed]:
        """The scores with their places."""
        return {place: printed_score(self.runs[place], score) for place, score in self.scores.items()}

    @property
    def mean(self) -> float:
        """The mean of the seeds, of which each counts once."""
        return fmean(seed_means([(self.runs[place].seed, score.val_bpb) for place, score in self.scores.items()]))


def seed_means(scores: Sequence[tuple[int | None, float]]) -> list[float]:
    """Return the mean score of each seed; a score whose seed is not known counts as one of its own."""
    by_seed: dict[object, list[float]] = {}
    for place, (seed, score) in enumerate(scores):
        by_seed.setdefault(("unknown", place) if seed is None else seed, []).append(score)
    return [fmean(each) for each in by_seed.values()]


def default_reading(runs: list[LoggedRun]) -> Reading:
    """Return the last evaluation of the packed model that the runs have in common, without regard to any claim."""
    label = headline_kind(runs)
    scores = {place: score for place, run in enumerate(runs) if (score := headline_of(run, label)) is not None}
    return Reading(runs, next((score.label for score in scores.values()), None), scores)


def readings(runs: list[LoggedRun]) -> Iterator[Reading]:
    """Yield every evaluation of the packed model that all runs have; the last of a label before earlier ones.

    Each is read from its line with the most decimals: a rounded one agrees with claims that the exact one contradicts.
    """
    labelled: list[dict[str, list[Score]]] = []
    for run in runs:
        by_label: dict[str, list[Score]] = {}
        for evaluation in evaluations(run):
            by_label.setdefault(evaluation.best.label, []).append(evaluation.best)
        labelled.append(by_label)
    for label in labelled[0] if labelled else ():
        repeats = min((len(each.get(label, ())) for each in labelled), default=0)
        for back in range(1, min(repeats, MOST_REPEATS) + 1):
            found = {place: timed(each[label][-back], runs[place]) for place, each in enumerate(labelled)}
            yield Reading(runs, label, found)


def mentioned_readings(runs: list[LoggedRun]) -> Iterator[Reading]:
    """Yield every number that all runs print on a line of the same words about bits per byte.

    Such a line may be none that is read as a score. It leads only if a claim names its numbers. A number that is the
    same in all runs is no result of any.
    """
    common = set.intersection(*(set(run.mentioned) for run in runs)) if len(runs) > 1 else set()
    for words in sorted(common):
        found = {place: run.mentioned[words] for place, run in enumerate(runs)}
        is_one_number = len({score.val_bpb for score in found.values()}) == 1
        if not is_one_number and not any(is_rounded(score, runs[place]) for place, score in found.items()):
            yield Reading(runs, found[0].label, found, is_mention=True)


def is_rounded(mention: Score, run: LoggedRun) -> bool:
    """Return whether a number is a score of the run that another line prints with more decimals."""
    finer = (score for score in run.scores if score.decimals > mention.decimals)
    return any(agree(printed_score(run, mention), printed_score(run, score)) for score in finer)


@dataclass(frozen=True, order=True, slots=True)
class Support:
    """How well the claims name a reading; the order of the fields is the order of their weight."""

    is_mean: bool = False
    """Whether a claimed headline is its mean."""
    seeds: int = 0
    """Seeds whose claimed score is the reading's."""
    is_one: bool = False
    """Whether a claimed headline is the score of one of its seeds."""
    decimals: int = 0
    """Decimals to which they agree."""

    def __bool__(self) -> bool:
        return self != Support()


def support(reading: Reading, claims: Claims) -> Support:
    """Return how well the claims name a reading. If it contradicts one claimed score of a seed, none of them counts."""
    compared: list[int] = []
    for place, found in reading.printed.items():
        seed = reading.runs[place].seed
        claim = None if seed is None else claims.bpb_by_seed.get(seed)
        if claim is None:
            continue
        if not agree(claim, found):
            compared.clear()
            break
        compared.append(coarser_decimals(claim, found))
    seeds, headlines = len(compared), finest(list(claims.headlines.values()))
    mean = computed(reading.mean, list(reading.printed.values()), "mean") if reading.scores else None
    as_mean = [coarser_decimals(each, mean) for each in headlines if mean is not None and agree(each, mean)]
    as_one = [
        shared
        for each in headlines
        for found in reading.printed.values()
        if (shared := coarser_decimals(each, found)) >= FEWEST_DECIMALS and agree(each, found)
    ]
    decimals = max([*compared, *as_mean, *as_one], default=0)
    return Support(bool(as_mean), seeds, bool(as_one), decimals)


def finest(headlines: Sequence[Printed]) -> list[Printed]:
    """Return headlines without those that are another one rounded."""
    return [
        each
        for each in headlines
        if not any(other.decimals > each.decimals and agree(other, each) for other in headlines)
    ]


def named_reading(runs: list[LoggedRun], claims: Claims) -> tuple[Reading, Support]:
    """Return the reading of the runs that the claims name best, the default one if they name none or several."""
    default = default_reading(runs)
    best, found = default, support(default, claims)
    for each in (*readings(runs), *mentioned_readings(runs)):
        if (other := support(each, claims)) > found:
            best, found = each, other
    return replace(best, is_claimed=bool(found)), found
