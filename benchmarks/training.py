"""Training tokens per second with its parts, and its ratio to a plain loop."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from benchmarks.measure import Ratio, Timing, take_turns
from benchmarks.plain_loop import PlainLoop
from benchmarks.shapes import RATIO_BATCH_TOKENS, job_of_shape, plain_shape
from trainer.data.batches import MicroBatch
from trainer.runtime.clock import PhaseClock
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import Journal, RunJournal, SilentJournal
from trainer.runtime.world import World
from trainer.training import Training

WARMUP_STEPS = 2  # memory is mapped by then


class TimedTraining(Training):
    """Training that knows how long each part of a step took."""

    def __init__(self, job: TrainingJob, journal: Journal) -> None:
        super().__init__(job, World(torch.device("cpu")), journal, PhaseClock())
        self.make_ready()
        self.movement = None  # the check that every parameter moves belongs to the first four steps only
        self.parts: dict[str, list[float]] = defaultdict(list)
        self.now: dict[str, float] = defaultdict(float)
        self.next_step, self.batches.next_step = self.batches.next_step, self.timed_next_step  # type: ignore[method-assign]
        self.update_average, self.average.update = self.average.update, self.timed_average  # type: ignore[method-assign]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.now[name] += time.perf_counter() - began

    def timed_next_step(self) -> Iterator[MicroBatch]:
        batches = self.next_step()
        while True:
            with self.part("data"):
                micro = next(batches, None)
            if micro is None:
                return
            yield micro

    def timed_average(self, step: int, multiplier: float) -> None:
        with self.part("averaging"):
            self.update_average(step, multiplier)

    def mean_loss(self, micro: MicroBatch) -> Tensor:
        with self.part("forward"):
            return super().mean_loss(micro)

    def update(self, multiplier: float) -> None:
        with self.part("optimizer"):
            super().update(multiplier)

    def timed_step(self) -> float:
        """Seconds of a whole step; what is neither of the other parts is the backward pass."""
        self.now.clear()
        began = time.perf_counter()
        loss = self.train_step(1.0)
        seconds = time.perf_counter() - began
        self.now["backward"] = seconds - sum(self.now.values())
        with self.part("logging"):
            self.follow(loss, 1.0, seconds)
        for name, spent in self.now.items():
            self.parts[name].append(spent)
        return seconds


def measure_parts(shape: str, steps: int, batch_tokens: int | None) -> list[Timing]:
    """A whole step and each of its parts."""
    with job_of_shape(shape, batch_tokens) as job:
        training = TimedTraining(job, RunJournal(job.files))
        for _ in range(WARMUP_STEPS):
            training.timed_step()
        training.parts.clear()
        whole = [training.timed_step() for _ in range(steps)]
        training.batches.close()
    tokens = job.recipe.schedule.batch_tokens
    name = f"{shape}, {tokens:,} tokens a step"
    parts = [Timing(f"{name}: {part}", seconds) for part, seconds in training.parts.items()]
    return [Timing(f"train {name}", whole, tokens, "tokens"), *parts]


def measure_ratios(shape: str, rounds: int) -> tuple[list[Timing], list[Ratio]]:
    """Our step against a plain loop's: with the same optimizer, and with AdamW for everything."""
    with job_of_shape(shape, RATIO_BATCH_TOKENS) as job:
        schedule = job.recipe.schedule
        training = TimedTraining(job, SilentJournal())
        shard = next(job.data.root.glob("fineweb_train_*.bin"))

        def plain_loop(use_muon: bool) -> PlainLoop:
            sizes = (schedule.batch_tokens, schedule.micro_tokens, schedule.sequence_tokens)
            return PlainLoop(plain_shape(job.recipe), shard, *sizes, use_muon)

        plain = {use_muon: plain_loop(use_muon) for use_muon in (True, False)}
        actions: dict[str, Callable[[], object]] = {
            "ours": training.timed_step,
            "same": plain[True].step,
            "adamw": plain[False].step,
        }
        seconds = take_turns(actions, rounds)
        training.batches.close()
    words = {"ours": "ours", "same": "plain loop, same optimizer", "adamw": "plain loop, AdamW"}
    timings = [
        Timing(f"{shape}, {RATIO_BATCH_TOKENS:,} tokens a step: {words[key]}", values, RATIO_BATCH_TOKENS, "tokens")
        for key, values in seconds.items()
    ]
    ratios = [
        Ratio(
            f"{shape}: ours over {words[key]}",
            [other / own for other, own in zip(seconds[key], seconds["ours"], strict=True)],
        )
        for key in ("same", "adamw")
    ]
    return timings, ratios
