"""What to do next: finish a point's rung, take one of the best further, or ask for a new one.

Points climb rungs of more training and more seeds. Of each rung the best share goes on, as soon as there are enough to
tell, so that nothing waits for others (asynchronous successive halving). Before the budget runs out, what is left of
it goes to the best point there is, so that a search ends with an answer and not with beginnings.
Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pgolf.searching.ledger import Candidate
from pgolf.specs.search import Search


@dataclass(frozen=True, slots=True)
class Evaluate:
    """A point is to be run once more."""

    candidate: Candidate
    rung: int
    seed: int
    why: str | None = None
    """Of a point that goes on to another rung."""


@dataclass(frozen=True, slots=True)
class Propose:
    """A new point is wanted."""


@dataclass(frozen=True, slots=True)
class End:
    """There is nothing more to do."""

    why: str


@dataclass(frozen=True, slots=True)
class Purse:
    """What is left, and what a run at the full share costs, in the same unit."""

    left: float
    full_run: float
    is_by_runs: bool

    def cost(self, share: float) -> float:
        """Of one run."""
        return 1.0 if self.is_by_runs else self.full_run * share


Step = Evaluate | Propose | End


def next_step(search: Search, candidates: Sequence[Candidate], seeds: Sequence[int], purse: Purse) -> Step:
    """What to do next."""
    alive = [candidate for candidate in candidates if candidate.ended is None]
    for candidate in alive:  # what was begun is finished
        if (seed := missing_seed(search, candidate, candidate.reached, seeds)) is not None:
            return afford(search, Evaluate(candidate, candidate.reached, seed), purse)
    best = leader(search, alive)
    if best is not None and best.reached + 1 < len(search.rungs):
        needed = cost_to_finish(search, best, purse)
        if needed <= purse.left < needed + purse.cost(search.rungs[0].share):
            return afford(search, promote(search, best, seeds, "what is left of the budget finishes the best"), purse)
    for rung in reversed(range(len(search.rungs) - 1)):
        if (chosen := promotable(search, alive, rung)) is not None:
            why = f"among the best {search.keep:.0%} of those at a share of {search.rungs[rung].share:g}"
            return afford(search, promote(search, chosen, seeds, why), purse)
    first = search.rungs[0].share
    return Propose() if purse.cost(first) <= purse.left else End("the budget is used up")


def afford(search: Search, step: Evaluate, purse: Purse) -> Step:
    """The step, if there is enough left for it."""
    return step if purse.cost(search.rungs[step.rung].share) <= purse.left else End("the budget is used up")


def promote(search: Search, candidate: Candidate, seeds: Sequence[int], why: str) -> Evaluate:
    """The first run of a point at its next rung."""
    rung = candidate.reached + 1
    seed = missing_seed(search, candidate, rung, seeds)
    assert seed is not None, "a rung that is not begun lacks a seed"
    return Evaluate(candidate, rung, seed, why)


def missing_seed(search: Search, candidate: Candidate, rung: int, seeds: Sequence[int]) -> int | None:
    """The first seed of a rung without a score, or None."""
    known = candidate.scores.get(rung, {})
    return next((seed for seed in seeds[: search.rungs[rung].seeds] if seed not in known), None)


def score_at(search: Search, candidate: Candidate, rung: int) -> float | None:
    """The mean score of a point at a rung; None before all its seeds are known."""
    known = candidate.scores.get(rung, {})
    return fmean(known.values()) if len(known) >= search.rungs[rung].seeds else None


def promotable(search: Search, alive: Sequence[Candidate], rung: int) -> Candidate | None:
    """The best point that has gone through a rung, is among those that go on, and has not."""
    scored = [(score, each) for each in alive if (score := score_at(search, each, rung)) is not None]
    ranking = [candidate for _, candidate in sorted(scored, key=lambda pair: (pair[0], pair[1].number))]
    going_on = ranking[: int(len(ranking) * search.keep + 1e-9)]
    return next((candidate for candidate in going_on if candidate.reached == rung), None)


def leader(search: Search, alive: Sequence[Candidate]) -> Candidate | None:
    """The best point of the highest rung that any has gone through."""
    for rung in reversed(range(len(search.rungs))):
        scored = [(score, each) for each in alive if (score := score_at(search, each, rung)) is not None]
        if scored:
            return min(scored, key=lambda pair: (pair[0], pair[1].number))[1]
    return None


def cost_to_finish(search: Search, candidate: Candidate, purse: Purse) -> float:
    """What it takes to bring a point through all rungs that are left. A seed that a lower rung of the same share has
    run is not run again.
    """
    total = 0.0
    for number in range(candidate.reached + 1, len(search.rungs)):
        rung, before = search.rungs[number], search.rungs[number - 1]
        known = before.seeds if before.share == rung.share else 0
        total += (rung.seeds - known) * purse.cost(rung.share)
    return total


def discards(search: Search, candidates: Sequence[Candidate]) -> list[tuple[Candidate, str]]:
    """Points that did not go on, and their rank where they stayed."""
    found = []
    for rung in range(len(search.rungs) - 1):
        scored = [(score, each) for each in candidates if (score := score_at(search, each, rung)) is not None]
        ranking = [candidate for _, candidate in sorted(scored, key=lambda pair: (pair[0], pair[1].number))]
        for rank, candidate in enumerate(ranking, start=1):
            if candidate.reached == rung and candidate.ended is None:
                share = search.rungs[rung].share
                found.append((candidate, f"number {rank} of {len(ranking)} at a share of {share:g}"))
    return found
