"""Training tokens per second with its parts, and its ratio to a plain loop."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from benchmarks.measure import Ratio, Timing, give_memory_back, synchronize, take_turns
from benchmarks.plain_loop import PlainLoop
from benchmarks.shapes import bench_device, job_of_shape, plain_shape, ratio_batch_tokens
from trainer.data.batches import MicroBatch
from trainer.recipe.recipe import Recipe
from trainer.recipe.work import PASSES_A_STEP, token_work
from trainer.runtime.allocator import keep_freed_memory
from trainer.runtime.clock import PhaseClock
from trainer.runtime.device import product_dtype
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import Journal, RunJournal, SilentJournal
from trainer.runtime.world import World
from trainer.step_log import StepLog
from trainer.training import Training

WARMUP_STEPS = 2  # memory is mapped by then


class TimedTraining(Training):
    """Training that knows how long each part of a step took."""

    def __init__(self, job: TrainingJob, journal: Journal) -> None:
        super().__init__(job, World(bench_device()), journal, PhaseClock())
        self.movement = None  # the check that every parameter moves belongs to the first four steps only
        self.parts: dict[str, list[float]] = defaultdict(list)
        self.now: dict[str, float] = defaultdict(float)
        self.is_split = False
        self.log = StepLog(self.recipe, journal, self.guard, self.data.bytes_per_token, self.step)
        self.compile()
        batches = self.data.batches
        self.next_step, batches.next_step = batches.next_step, self.timed_next_step  # type: ignore[method-assign]
        self.update_average, self.average.update = self.average.update, self.timed_average  # type: ignore[method-assign]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        if not self.is_split:
            yield
            return
        synchronize()
        began = time.perf_counter()
        yield
        synchronize()
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

    def whole_step(self) -> None:
        """Nothing; a step as a run takes it, no part of which waits for another."""
        self.is_split = False
        self.train_step(1.0)

    def timed_step(self) -> float:
        """Seconds of a whole step; what is neither of the other parts is the backward pass."""
        self.now.clear()
        self.is_split = True
        synchronize()
        began = time.perf_counter()
        loss = self.train_step(1.0)
        synchronize()
        seconds = time.perf_counter() - began
        self.now["backward"] = seconds - sum(self.now.values())
        with self.part("logging"):
            if self.log.is_due(self.step, self.progress):
                self.finite.check_losses()
                self.log.write(self.step, self.progress, self.clock.seconds("train"), loss.item(), 1.0)
        for name, spent in self.now.items():
            self.parts[name].append(spent)
        return seconds


def step_flops(recipe: Recipe) -> float:
    """Counted operations of a step: products with weights, and attention."""
    work = token_work(recipe.model, recipe.vocabulary_size, recipe.schedule.sequence_tokens)
    return PASSES_A_STEP * work.flops * recipe.schedule.batch_tokens


def measure_parts(shape: str, steps: int, batch_tokens: int | None) -> list[Timing]:
    """A whole step and each of its parts, each of which waits for the one before."""
    keep_freed_memory()
    with job_of_shape(shape, batch_tokens) as job:
        training = TimedTraining(job, RunJournal(job.files))
        for _ in range(WARMUP_STEPS):
            training.timed_step()
        training.parts.clear()
        whole = [training.timed_step() for _ in range(steps)]
        training.data.batches.close()
    tokens = job.recipe.schedule.batch_tokens
    name = f"{shape}, {tokens:,} tokens a step"
    parts = [Timing(f"{name}: {part}", seconds) for part, seconds in training.parts.items()]
    return [Timing(f"train {name}", whole, tokens, "tokens", step_flops(job.recipe)), *parts]


# What is measured beside the plain loop: the recipe as it comes, and with one or two keys more.
NARROW, COMPILED = "recipe.compute.precision=bfloat16", "recipe.compute.compile=always"
EAGER = "recipe.compute.compile=never"
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "cpu": {
        "ours": (),
        "ours, compiled": (COMPILED,),
        "ours in bfloat16": (NARROW,),
        "ours in bfloat16, compiled": (NARROW, COMPILED),
    },
    "cuda": {"ours": (), "ours, not compiled": (EAGER,)},
}


def variants_of(is_compiling: bool) -> dict[str, tuple[str, ...]]:
    """The variants that mean something: bfloat16 where a CPU multiplies it, graphs on one where they are wanted."""
    has_narrow = product_dtype("bfloat16", bench_device()) == torch.bfloat16
    left_out = (set() if is_compiling else {COMPILED}) | (set() if has_narrow else {NARROW})
    return {name: keys for name, keys in VARIANTS[bench_device().type].items() if left_out.isdisjoint(keys)}


def measure_ratios(shape: str, rounds: int, is_compiling: bool) -> tuple[list[Timing], list[Ratio]]:
    """Our step, as its variants, against a plain loop's with the same optimizer, turn by turn in this process; on a GPU
    also against that loop compiled, as public scripts are.
    """
    variants, batch_tokens = variants_of(is_compiling), ratio_batch_tokens(shape)
    with ExitStack() as stack:
        jobs = {name: stack.enter_context(job_of_shape(shape, batch_tokens, *keys)) for name, keys in variants.items()}
        trainings = {name: TimedTraining(job, SilentJournal()) for name, job in jobs.items()}
        actions: dict[str, Callable[[], object]] = {
            name: as_scripts_do(loop.step) for name, loop in plain_loops(jobs["ours"]).items()
        }
        others = list(actions)
        actions |= {name: as_the_trainer_does(training.whole_step) for name, training in trainings.items()}
        seconds = take_turns(actions, rounds, is_settled=True)
        for training in trainings.values():
            training.data.batches.close()
    recipe = jobs["ours"].recipe
    flops, tokens = step_flops(recipe), recipe.schedule.batch_tokens
    name = f"{shape}, {tokens:,} tokens a step"
    timings = [Timing(f"{name}: {key}", values, tokens, "tokens", flops) for key, values in seconds.items()]
    ratios = [
        Ratio(f"{shape}, training: {key} over the {other}", pairs(seconds[other], seconds[key]))
        for other in others
        for key in variants
    ]
    return timings, ratios


def plain_loops(job: TrainingJob) -> dict[str, PlainLoop]:
    """The loops that a job is measured beside."""
    schedule, shard, device = job.recipe.schedule, next(job.data.root.glob("fineweb_train_*.bin")), bench_device()
    sizes = (schedule.batch_tokens, schedule.micro_tokens, schedule.sequence_tokens)

    def loop(is_compiled: bool) -> PlainLoop:
        return PlainLoop(plain_shape(job.recipe), shard, *sizes, True, device, is_compiled)

    loops = {"plain loop, same optimizer": loop(False)}
    return loops if device.type == "cpu" else loops | {"plain loop, compiled": loop(True)}


def as_scripts_do(action: Callable[[], object]) -> Callable[[], object]:
    """The action in a process that asks its C library for nothing."""

    def act() -> object:
        give_memory_back()
        return action()

    return act


def as_the_trainer_does(action: Callable[[], object]) -> Callable[[], object]:
    """The action in a process that keeps freed memory."""

    def act() -> object:
        keep_freed_memory()
        return action()

    return act


def pairs(others: list[float], ours: list[float]) -> list[float]:
    """How many times faster ours was, turn by turn."""
    return [other / own for other, own in zip(others, ours, strict=True)]
