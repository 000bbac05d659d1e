"""Stop rules, by themselves and in a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgolf.rundir import RunDirectory, find_runs
from tests.conftest import LONG, Pgolf
from trainer.recipe.files import RunFiles
from trainer.runtime.failure import StoppedByRule
from trainer.runtime.guard import AVERAGED_ROWS, MEASURED_STEPS, SETTLING_STEPS, Guard, make_guard
from trainer.runtime.journal import RunJournal, SilentJournal

PLAN = {"step_seconds": 0.040, "basis": "3 finished runs of this spec"}


class Clock:
    """A clock set by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("trainer.runtime.guard.time.monotonic", lambda: self.now)


def take_steps(guard: Guard, clock: Clock, seconds: list[float]) -> None:
    for each in seconds:
        clock.now += each
        guard.after_step()


@pytest.mark.parametrize(("step_seconds", "is_hopeless"), [(0.039, False), (0.0519, False), (0.0521, True)])
def test_the_first_steps_after_settling_decide(
    monkeypatch: pytest.MonkeyPatch, step_seconds: float, is_hopeless: bool
) -> None:
    clock, guard = Clock(monkeypatch), Guard({"plan": PLAN, "stop": {"slower_than": 1.3}}, SilentJournal())
    steps = [9.0] * SETTLING_STEPS + [step_seconds] * (MEASURED_STEPS - SETTLING_STEPS)
    if is_hopeless:
        with pytest.raises(StoppedByRule, match=r"took 52\.1 ms each instead of 40\.0 ms .*at most 1\.3 times"):
            take_steps(guard, clock, steps)
    else:
        take_steps(guard, clock, [*steps, 99.0])
        assert guard.step_seconds == pytest.approx(step_seconds)


def test_without_a_rule_a_slow_start_is_only_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock, guard = Clock(monkeypatch), Guard({"plan": PLAN}, RunJournal(RunFiles(tmp_path)))
    take_steps(guard, clock, [1.0] * MEASURED_STEPS)
    assert "took 1000.0 ms each instead of 40.0 ms" in RunFiles(tmp_path).log.read_text()


def test_rank_0_alone_watches(tmp_path: Path) -> None:
    assert make_guard({"plan": PLAN}, SilentJournal()) is None
    assert make_guard({"plan": PLAN}, RunJournal(RunFiles(tmp_path))) is not None
    assert make_guard({}, RunJournal(RunFiles(tmp_path))) is None


def rule(curve: list[list[float]]) -> dict[str, Any]:
    return {"stop": {"slower_than": None, "worse_than": {"run": "old/seed-1", "by_bpb": 0.02, "curve": curve}}}


CURVE = [[1000.0 * step, 3.0 - 0.01 * step] for step in range(1, 101)]


def test_a_run_that_lags_behind_the_other_at_the_same_tokens_ends() -> None:
    guard = Guard(rule(CURVE), SilentJournal())
    with pytest.raises(StoppedByRule, match=r"old/seed-1 was 2\.9450; at most 0\.02 more are allowed"):
        for tokens, bpb in CURVE[:AVERAGED_ROWS]:
            guard.check_curve(int(tokens), bpb + 0.021)


def rows_until_hopeless(curve: list[list[float]], excess: Callable[[int], float]) -> int | None:
    """Return after how many rows a run this far above a curve is stopped, or None if it never is."""
    guard = Guard(rule(CURVE), SilentJournal())
    for number, (tokens, bpb) in enumerate(curve):
        try:
            guard.check_curve(int(tokens), bpb + excess(number))
        except StoppedByRule:
            return number + 1
    return None


@pytest.mark.parametrize(("unlucky", "expected"), [(0.19, None), (0.21, AVERAGED_ROWS)])
def test_ten_rows_are_averaged_so_that_an_unlucky_one_alone_decides_nothing(
    unlucky: float, expected: int | None
) -> None:
    """One row in ten is 0.19 bpb too high: 0.019 in the mean, and 0.02 are allowed."""
    assert rows_until_hopeless(CURVE, lambda number: 0.0 if number % AVERAGED_ROWS else unlucky) == expected


def test_where_the_other_run_has_no_curve_nothing_is_compared() -> None:
    beyond = [[tokens + 200_000, bpb] for tokens, bpb in CURVE]
    assert rows_until_hopeless(beyond, lambda _: 6.0) is None
    assert rows_until_hopeless(CURVE, lambda _: 6.0) == AVERAGED_ROWS


@pytest.mark.slow
def test_a_hopeless_run_ends_early_with_the_reason(pgolf: Pgolf, long_run: RunDirectory, tmp_path: Path) -> None:
    """At a hundredth of the learning rate it lags behind a run that was as long."""
    slow = ("--set", "recipe.optimizer.matrix_lr=0.0002", "--set", "recipe.optimizer.embedding_lr=0.0002")
    other = f"stop.worse_than={{run: {long_run.root}, by_bpb: 0.02}}"
    ended = pgolf("run", "quickstart", *LONG, *slow, "--set", other)
    assert ended.code == 1
    assert "stopped by stop.worse_than" in ended.err
    again = pgolf("status", "--json").json["runs"][0]
    assert again["state"] == "failed"
    (run,) = find_runs(tmp_path / "runs")
    assert run.read_state()["reason"] == "stop_rule"
    assert again["step"] < 300
    freed = pgolf("run", "quickstart", *LONG, *slow, "--json")
    assert freed.json["runs"][0]["result"]["steps"] == 300
    assert run.read_state()["reason"] is None


def test_a_rule_that_names_no_run_or_has_no_plan_is_said_before(pgolf: Pgolf) -> None:
    ended = pgolf("preflight", "quickstart", "--with", "micro", "--set", "stop={slower_than: 1.3}", "--json")
    (found,) = (check for check in ended.json["checks"] if check["rule"] == "stop_rule")
    assert (found["status"], "no measured plan" in found["message"]) == ("warn", True)
    ended = pgolf("run", "quickstart", "--with", "micro", "--set", "stop={worse_than: {run: nobody, by_bpb: 0.1}}")
    assert (ended.code, "nobody: no such run" in ended.err) == (3, True)
