"""The headline score of a run: which of the scores in its log is reported."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.dialects.logged import LoggedRun
from trainer.dialects.scores import ADAPTED, PACKED, SETTINGS_OF_SCORE, Score

# Labels of evaluations of the submitted model; another label leads only where a claim names its number.
NAMES_EVALUATION = re.compile(rf"{PACKED.pattern}|{ADAPTED.pattern}|sliding|final|legal", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation; a log may print it on several lines, with more or fewer decimals or under several labels."""

    scores: tuple[Score, ...]

    @property
    def best(self) -> Score:
        """The line with the most decimals; of several the first, because later ones are aliases."""
        return max(self.scores, key=source_quality)

    @property
    def settings(self) -> str:
        """Stride, window and context as its lines give them, sorted."""
        found = {f"{name}={size}" for score in self.scores for name, size in SETTINGS_OF_SCORE.findall(score.text)}
        return " ".join(sorted(found))


def source_quality(score: Score) -> tuple[int, bool]:
    """Return a sort key of a line as a source: its decimals, then whether it is a result and not progress."""
    return score.decimals, not score.label.endswith(":done")


def evaluations(run: LoggedRun) -> list[Evaluation]:
    """Return the evaluations of the packed model, in order.

    A summary at the end may be that of another run (#1535), so it counts only where no evaluation prints its loss. A
    rounded line that the next line repeats with more digits belongs where that one does.
    """
    packed = [score for score in run.scores if score.stage != "prequant"]
    if any(score.val_loss is not None for score in packed):
        packed = [score for score in packed if not score.is_summary]
    found: list[list[Score]] = []
    for place, score in enumerate(packed):
        following = packed[place + 1] if place + 1 < len(packed) else None
        is_rounded = following is not None and is_same_label(score, following) and is_same_number(score, following)
        exact = following if following is not None and is_rounded else score
        if score.val_loss is None and (known := known_evaluation(found, score)) is not None:
            known.append(score)
        elif found and all(is_same_number(line, exact) for line in found[-1]):
            found[-1].append(score)
        else:
            found.append([score])
    return [Evaluation(tuple(scores)) for scores in found]


def known_evaluation(found: list[list[Score]], score: Score) -> list[Score] | None:
    """Return the evaluation whose number a line without a loss repeats, to four decimals or more."""
    return next(
        (
            lines
            for lines in reversed(found)
            if min(score.decimals, lines[-1].decimals) >= 4 and all(is_same_number(line, score) for line in lines)
        ),
        None,
    )


def is_same_label(one: Score, other: Score) -> bool:
    """Return whether two labels are the same but for the suffix of a line with more decimals."""
    return one.label.removesuffix("_exact") == other.label.removesuffix("_exact")


def is_same_number(one: Score, other: Score) -> bool:
    """Return whether two lines give the same number to the decimals of the shorter one."""
    if one.decimals == other.decimals:
        return one.val_bpb == other.val_bpb
    return abs(one.val_bpb - other.val_bpb) <= 0.5000001 * 10.0 ** -min(one.decimals, other.decimals)


def headline_kind(runs: Sequence[LoggedRun]) -> str | None:
    """Return the label of the last evaluation of the packed model that all runs have, or None if no run has one.

    All seeds are compared by the same evaluation. If no evaluation is common to all runs, those that most runs have are
    considered. The line with the most decimals gives the label.
    """
    ranks: list[dict[str, tuple[int, tuple[int, bool], int]]] = []
    for run in runs:
        rank: dict[str, tuple[int, tuple[int, bool], int]] = {}
        found = evaluations(run)
        for position, evaluation in enumerate(found):
            for order, score in reversed(list(enumerate(evaluation.scores))):  # a later evaluation of a label counts
                rank[score.label] = position - len(found), source_quality(score), -order
        ranks.append(rank)
    shared = Counter(kind for rank in ranks for kind in rank)
    most = max(shared.values(), default=0)
    common = [kind for kind, count in shared.items() if count == most]
    common = [kind for kind in common if NAMES_EVALUATION.search(kind)] or common
    return max(common, key=lambda kind: min(rank[kind] for rank in ranks if kind in rank), default=None)


def headline_of(run: LoggedRun, kind: str | None) -> Score | None:
    """Return the run's score with the label `kind`; if `kind` is None, its last score, which is before packing."""
    if kind is None:
        return run.scores[-1] if run.scores else None
    found = [lines for each in evaluations(run) if (lines := [line for line in each.scores if line.label == kind])]
    return timed(found[-1][0], run) if found else None


def settings_of(run: LoggedRun, kind: str | None) -> str:
    """Return the settings of an evaluation as the run's log gives them; empty if it gives none."""
    return next((each.settings for each in evaluations(run) if any(s.label == kind for s in each.scores)), "")


def timed(score: Score, run: LoggedRun) -> Score:
    """Return the score with its seconds, the largest that its lines call eval_time, else the first."""
    lines = next((each.scores for each in evaluations(run) if score in each.scores), (score,))
    named = [line.seconds for line in lines if line.seconds is not None and "eval_time" in line.text]
    first = next((line.seconds for line in (score, *lines) if line.seconds is not None), None)
    return replace(score, seconds=max(named, default=first))


def protocol_of(score: Score, run: LoggedRun) -> str:
    """Return the protocol of a score from its line, or for test-time training from the line that begins it."""
    if score.protocol == "unknown" and score.stage == "ttt" and run.adapts_in_windows:
        return "sliding"
    return score.protocol
