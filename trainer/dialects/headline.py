"""Which of the scores in a log is the one that counts, and whether all seeds have it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.dialects.logged import LoggedRun
from trainer.dialects.scores import SETTINGS_OF_SCORE, Score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation, which a log may print on several lines, with more or fewer decimals or under an old label."""

    scores: tuple[Score, ...]

    @property
    def best(self) -> Score:
        """The line with the most decimals; of several the first, for a later one is an alias."""
        return max(self.scores, key=source_quality)

    @property
    def settings(self) -> str:
        """What its lines say of stride, window and context, in order."""
        found = {f"{name}={size}" for score in self.scores for name, size in SETTINGS_OF_SCORE.findall(score.text)}
        return " ".join(sorted(found))


def source_quality(score: Score) -> tuple[int, bool]:
    """How good a line is as a source: its decimals, then whether it is a result and no line of progress."""
    return score.decimals, not score.label.endswith(":done")


def evaluations(run: LoggedRun) -> list[Evaluation]:
    """The evaluations of the packed model, in order."""
    found: list[list[Score]] = []
    for score in run.scores:
        if score.stage == "prequant":
            continue
        if found and is_same_number(found[-1][-1], score):
            found[-1].append(score)
        else:
            found.append([score])
    return [Evaluation(tuple(scores)) for scores in found]


def is_same_number(one: Score, other: Score) -> bool:
    """Whether two lines give the same number, as far as the shorter one goes."""
    return abs(one.val_bpb - other.val_bpb) <= 0.5000001 * 10.0 ** -min(one.decimals, other.decimals)


def headline_kind(runs: Sequence[LoggedRun]) -> str | None:
    """The kind of the last evaluation of the packed model that all runs have, or, where they share none, most of them;
    of its lines the one with the most decimals. None where no run was scored after packing.

    Never of one evaluation for some seeds and of another for the rest.
    """
    ranks: list[dict[str, tuple[int, tuple[int, bool], int]]] = []
    for run in runs:
        rank: dict[str, tuple[int, tuple[int, bool], int]] = {}
        found = evaluations(run)
        for position, evaluation in enumerate(found):
            for order, score in enumerate(evaluation.scores):
                rank.setdefault(score.label, (position - len(found), source_quality(score), -order))
        ranks.append(rank)
    shared = Counter(kind for rank in ranks for kind in rank)
    most = max(shared.values(), default=0)
    common = [kind for kind, count in shared.items() if count == most]
    return max(common, key=lambda kind: min(rank[kind] for rank in ranks if kind in rank), default=None)


def headline_of(run: LoggedRun, kind: str | None) -> Score | None:
    """The score of a run that is of a kind. Where no run was scored after packing, the last one before it."""
    if kind is None:
        return run.scores[-1] if run.scores else None
    found = [score for each in evaluations(run) for score in each.scores if score.label == kind]
    return timed(found[0], run) if found else None


def settings_of(run: LoggedRun, kind: str | None) -> str:
    """What a run's log says of the settings of an evaluation; empty where it says nothing."""
    return next((each.settings for each in evaluations(run) if any(s.label == kind for s in each.scores)), "")


def timed(score: Score, run: LoggedRun) -> Score:
    """The score with its seconds, which another line about the same evaluation may have."""
    lines = next((each.scores for each in evaluations(run) if score in each.scores), (score,))
    seconds = next((line.seconds for line in (score, *lines) if line.seconds is not None), None)
    return replace(score, seconds=seconds)


def protocol_of(score: Score, run: LoggedRun) -> str:
    """How it was scored, as the score's line says, or for an adapted one the line that begins adaptation."""
    if score.protocol == "unknown" and score.stage == "ttt" and run.adapts_in_windows:
        return "sliding"
    return score.protocol
