"""Asynchronous successive halving: finish a point's rung, promote one of the best, or ask for a new point.

Points climb rungs of more training and more seeds. The best share of each rung is promoted as soon as there are enough
points to compare, so that no run waits for others. Before the budget runs out, the rest of it goes to the best point,
so that a search ends with an answer.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pgolf.search.ledger import Candidate
from pgolf.specs.search import Search


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Run a point once more."""

    candidate: Candidate
    rung: int
    seed: int
    why: str | None = None
    """Why the point was promoted, at the first run of a new rung."""


@dataclass(frozen=True, slots=True)
class Propose:
    """Ask for a new point."""


@dataclass(frozen=True, slots=True)
class End:
    """Stop searching."""

    why: str


@dataclass(frozen=True, slots=True)
class RemainingBudget:
    """What is left of the budget, and what a run at the full share costs, in the same unit."""

    left: float
    full_run: float
    is_by_runs: bool

    def cost(self, share: float) -> float:
        """Return the cost of one run at a share of the full length."""
        return 1.0 if self.is_by_runs else self.full_run * share


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a point has come."""

    candidate: Candidate
    rung: int
    """The highest rung that it has completed; 0 if there is none."""
    score: float | None
    """Mean bits per byte at that rung; None if it has completed none."""


Step = Evaluate | Propose | End
NOT_AFFORDABLE = End("the rest of the budget suffices for no run")


def next_step(search: Search, candidates: Sequence[Candidate], seeds: Sequence[int], budget: RemainingBudget) -> Step:
    """Return what to do next."""
    alive = [candidate for candidate in candidates if candidate.ended is None]
    for candidate in alive:  # finish what was begun
        if (seed := missing_seed(search, candidate, candidate.reached, seeds)) is not None:
            return if_affordable(search, Evaluate(candidate, candidate.reached, seed), budget)
    best = leader(search, alive)
    if best is not None and best.reached + 1 < len(search.rungs):
        needed = cost_to_finish(search, best, budget)
        if needed <= budget.left < needed + budget.cost(search.rungs[0].share):
            return if_affordable(
                search, promote(search, best, seeds, "the rest of the budget finishes the best point"), budget
            )
    for rung in reversed(range(len(search.rungs) - 1)):
        if (chosen := promotable(search, alive, rung)) is not None:
            why = f"among the best {search.keep:.0%} at a share of {search.rungs[rung].share:g}"
            return if_affordable(search, promote(search, chosen, seeds, why), budget)
    first = search.rungs[0].share
    return Propose() if budget.cost(first) <= budget.left else NOT_AFFORDABLE


def if_affordable(search: Search, step: Evaluate, budget: RemainingBudget) -> Step:
    """Return the step if the budget allows it, else the end."""
    return step if budget.cost(search.rungs[step.rung].share) <= budget.left else NOT_AFFORDABLE


def promote(search: Search, candidate: Candidate, seeds: Sequence[int], why: str) -> Evaluate:
    """Return the first run of a point at its next rung."""
    rung = candidate.reached + 1
    seed = missing_seed(search, candidate, rung, seeds)
    assert seed is not None, "a rung that has not begun has no scores"
    return Evaluate(candidate, rung, seed, why)


def missing_seed(search: Search, candidate: Candidate, rung: int, seeds: Sequence[int]) -> int | None:
    """Return the first seed of a rung that has no score, or None."""
    known = candidate.scores.get(rung, {})
    return next((seed for seed in seeds[: search.rungs[rung].seeds] if seed not in known), None)


def score_at(search: Search, candidate: Candidate, rung: int) -> float | None:
    """Return the mean score of a point at a rung; None until all its seeds have one."""
    known = candidate.scores.get(rung, {})
    return fmean(known.values()) if len(known) >= search.rungs[rung].seeds else None


def promotable(search: Search, alive: Sequence[Candidate], rung: int) -> Candidate | None:
    """Return the best point that ranks high enough at a rung to be promoted and has not been."""
    scored = [(score, each) for each in alive if (score := score_at(search, each, rung)) is not None]
    ranking = [candidate for _, candidate in sorted(scored, key=lambda pair: (pair[0], pair[1].number))]
    promoted = ranking[: int(len(ranking) * search.keep + 1e-9)]
    return next((candidate for candidate in promoted if candidate.reached == rung), None)


def leader(search: Search, alive: Sequence[Candidate]) -> Candidate | None:
    """Return the best point of the highest rung that any point has completed."""
    for rung in reversed(range(len(search.rungs))):
        scored = [(score, each) for each in alive if (score := score_at(search, each, rung)) is not None]
        if scored:
            return min(scored, key=lambda pair: (pair[0], pair[1].number))[1]
    return None


def standings(search: Search, candidates: Sequence[Candidate]) -> list[Standing]:
    """Return how each point stands, the best first: points that may go on, then by rung, then by score."""
    found = [standing_of(search, candidate) for candidate in candidates]
    return sorted(found, key=order_of)


def standing_of(search: Search, candidate: Candidate) -> Standing:
    """Return the highest rung that a point has completed, and its score there."""
    scores = {rung: score_at(search, candidate, rung) for rung in range(len(search.rungs))}
    rung = max((rung for rung, score in scores.items() if score is not None), default=0)
    return Standing(candidate, rung, scores[rung])


def order_of(standing: Standing) -> tuple[bool, bool, int, float, int]:
    """Return a sort key: better points are smaller."""
    score, candidate = standing.score, standing.candidate
    return candidate.ended is not None, score is None, -standing.rung, score or 0.0, candidate.number


def cost_to_finish(search: Search, candidate: Candidate, budget: RemainingBudget) -> float:
    """Return the cost of bringing a point through all remaining rungs.

    Seeds that a lower rung of the same share has run are not run again.
    """
    total = 0.0
    for number in range(candidate.reached + 1, len(search.rungs)):
        rung, before = search.rungs[number], search.rungs[number - 1]
        known = before.seeds if before.share == rung.share else 0
        total += (rung.seeds - known) * budget.cost(rung.share)
    return total


def discards(search: Search, candidates: Sequence[Candidate]) -> list[tuple[Candidate, str]]:
    """Return the points that were not promoted, each with its rank at its last rung."""
    found = []
    for rung in range(len(search.rungs) - 1):
        scored = [(score, each) for each in candidates if (score := score_at(search, each, rung)) is not None]
        ranking = [candidate for _, candidate in sorted(scored, key=lambda pair: (pair[0], pair[1].number))]
        for rank, candidate in enumerate(ranking, start=1):
            if candidate.reached == rung and candidate.ended is None:
                share = search.rungs[rung].share
                found.append((candidate, f"number {rank} of {len(ranking)} at a share of {share:g}"))
    return found
