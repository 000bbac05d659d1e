"""Successive halving on known objectives: its invariants and its decisions."""

import random
from collections.abc import Callable

import pytest

from pgolf.search.halving import (
    End,
    Evaluate,
    Propose,
    RemainingBudget,
    discards,
    leader,
    next_step,
    score_at,
    standings,
)
from pgolf.search.ledger import Candidate
from pgolf.specs.search import Rung, Search
from pgolf.specs.sweeps import Range

SEEDS = [1, 2, 3]
SEARCH = Search(values={"recipe.x": Range(low=0, high=1)})


def simulate(
    budget: float, objective: Callable[[float, float, int], float], search: Search = SEARCH
) -> tuple[list[Candidate], list[Evaluate], str]:
    """Simulate a search in which each run costs its share; return its points, its steps and why it ended."""
    chance, candidates, steps, left = random.Random(7), list[Candidate](), list[Evaluate](), budget
    while True:
        step = next_step(search, candidates, SEEDS, RemainingBudget(left, 1.0, is_by_runs=False))
        match step:
            case End(why=why):
                return candidates, steps, why
            case Propose():
                candidates.append(Candidate(len(candidates) + 1, {"recipe.x": chance.random()}, "chance"))
            case Evaluate(candidate=candidate, rung=rung, seed=seed):
                steps.append(step)
                candidate.reached = rung
                share = search.rungs[rung].share
                known = candidate.scores.get(rung - 1, {}) if rung and search.rungs[rung - 1].share == share else {}
                left -= 0.0 if seed in known else share
                candidate.scores.setdefault(rung, {})[seed] = objective(candidate.point["recipe.x"], share, seed)


def bowl(x: float, share: float, seed: int) -> float:
    """Return an objective that is best at 0.3, improves with the share, and differs by seed."""
    return (x - 0.3) ** 2 + 0.01 * (1 - share) + 0.0001 * seed


@pytest.mark.parametrize("budget", [0.2, 0.25, 1.0, 3.9, 8.0, 25.0])
def test_the_budget_is_used_up_and_never_exceeded(budget: float) -> None:
    _, steps, why = simulate(budget, bowl)
    spent = sum(SEARCH.rungs[step.rung].share for step in steps)
    reused = sum(step.rung == 2 and step.seed == 1 for step in steps)
    assert spent - reused <= budget + 1e-9
    assert why == "the rest of the budget suffices for no run"
    assert budget - (spent - reused) < 1.0, "the rest does not pay for the next step"


def test_a_sufficient_budget_scores_the_best_point_on_all_seeds() -> None:
    candidates, _, _ = simulate(12.0, bowl)
    best = leader(SEARCH, candidates)
    assert best is not None
    assert len(best.scores[2]) == 3
    tried = [each for each in candidates if each.scores.get(0)]
    assert best.number == min(tried, key=lambda each: abs(each.point["recipe.x"] - 0.3)).number


def test_promoted_points_are_among_the_best_share_of_their_rung() -> None:
    _, steps, _ = simulate(30.0, bowl)
    seen: dict[int, dict[int, float]] = {0: {}, 1: {}, 2: {}}
    for step in steps:
        x = step.candidate.point["recipe.x"]
        if step.why is not None and "among the best" in step.why:
            below = sorted(seen[step.rung - 1].values())
            rank = below.index(seen[step.rung - 1][step.candidate.number])
            assert rank < len(below) * SEARCH.keep
        seen[step.rung][step.candidate.number] = bowl(x, SEARCH.rungs[step.rung].share, step.seed)


def test_ended_points_are_not_evaluated_again() -> None:
    worst = Candidate(1, {"recipe.x": 0.3}, "a", scores={0: {1: 0.0}}, ended="stopped: by its rule")
    assert isinstance(next_step(SEARCH, [worst], SEEDS, RemainingBudget(10.0, 1.0, is_by_runs=True)), Propose)


def test_an_untried_point_is_evaluated_before_a_new_proposal() -> None:
    step = next_step(
        SEARCH, [Candidate(1, {"recipe.x": 0.3}, "me")], SEEDS, RemainingBudget(10.0, 1.0, is_by_runs=True)
    )
    assert isinstance(step, Evaluate)
    assert (step.candidate.by, step.rung, step.seed) == ("me", 0, 1)


def test_one_rung_is_a_plain_search() -> None:
    search = Search(values=SEARCH.values, rungs=[Rung(share=1.0)])
    candidates, steps, _ = simulate(7.0, bowl, search)
    assert len(candidates) == len(steps) == 7


def test_discarded_points_have_their_rank_as_reason() -> None:
    candidates = [Candidate(n, {"recipe.x": n}, "a", scores={0: {1: float(n)}}) for n in (1, 2, 3)]
    candidates[0].reached = 1
    assert [(each.number, why) for each, why in discards(SEARCH, candidates)] == [
        (2, "number 2 of 3 at a share of 0.25"),
        (3, "number 3 of 3 at a share of 0.25"),
    ]


def test_a_score_needs_all_seeds_of_its_rung() -> None:
    candidate = Candidate(1, {}, "a", scores={2: {1: 1.0, 2: 3.0}})
    assert score_at(SEARCH, candidate, 2) is None
    candidate.scores[2][3] = 5.0
    assert score_at(SEARCH, candidate, 2) == pytest.approx(3.0)


def test_the_leader_is_the_best_point_of_the_highest_rung() -> None:
    low = [Candidate(n, {"recipe.x": n}, "a", scores={0: {1: score}}) for n, score in ((1, 0.9), (2, 0.1), (3, 0.5))]
    assert leader(SEARCH, low) is low[1]
    higher = [
        Candidate(n, {"recipe.x": n}, "a", scores={0: {1: 0.0}, 1: {1: score}}) for n, score in ((4, 0.8), (5, 0.7))
    ]
    assert leader(SEARCH, [*low, *higher]) is higher[1]
    assert leader(SEARCH, []) is None


def test_points_stand_by_the_rung_that_they_completed_and_those_that_ended_come_last() -> None:
    one_of_three_seeds = Candidate(1, {}, "a", scores={0: {1: 0.5}, 1: {1: 0.4}, 2: {1: 0.0}})
    second = Candidate(2, {}, "a", scores={0: {1: 0.6}, 1: {1: 0.3}})
    first_rung = Candidate(3, {}, "a", scores={0: {1: 0.1}})
    untried, failed = Candidate(4, {}, "a"), Candidate(5, {}, "a", scores={0: {1: 0.0}}, ended="failed: it burst")
    found = standings(SEARCH, [failed, untried, first_rung, one_of_three_seeds, second])
    assert [each.candidate.number for each in found] == [2, 1, 3, 4, 5]
    assert [(each.rung, each.score) for each in found] == [(1, 0.3), (1, 0.4), (0, 0.1), (0, None), (0, 0.0)]
    assert leader(SEARCH, [one_of_three_seeds, second, first_rung, untried]) is found[0].candidate
