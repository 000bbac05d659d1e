"""Speed of a training step, of its parts, and its ratio to a plain loop."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from benchmarks.measure import Ratio, Timing, synchronize, take_turns, use_default_allocator
from benchmarks.plain_loop import PlainLoop
from benchmarks.shapes import bench_device, job_of_shape, plain_shape, ratio_batch_tokens
from trainer.data.batches import MicroBatch
from trainer.recipe.recipe import Recipe
from trainer.recipe.token_work import PASSES_PER_STEP, token_work
from trainer.resumable import ResumableTraining
from trainer.runtime.allocator import keep_freed_memory
from trainer.runtime.clock import PhaseClock
from trainer.runtime.device import product_dtype
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import Journal, RunJournal, SilentJournal
from trainer.runtime.world import World
from trainer.step_log import StepLog

WARMUP_STEPS = 2  # enough to map the memory of a step


class TimedTraining(ResumableTraining):
    """Training that times each part of a step."""

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
        """Take a step as a run takes it, without synchronizing between its parts."""
        self.is_split = False
        self.train_step(1.0)

    def timed_step(self) -> float:
        """Return the seconds of a step and record its parts; what the other parts leave is the backward pass."""
        self.now.clear()
        self.is_split = True
        synchronize()
        began = time.perf_counter()
        loss = self.train_step(1.0)
        synchronize()
        seconds = time.perf_counter() - began
        self.now["backward"] = seconds - sum(self.now.values())
        with self.part("logging"):
            if self.log.schedule.is_due(self.step, self.progress):
                self.finite.check_losses()
                self.log.write(self.step, self.progress, self.clock.seconds("train"), loss.item(), 1.0)
        for name, spent in self.now.items():
            self.parts[name].append(spent)
        return seconds


def step_flops(recipe: Recipe) -> float:
    """Return the counted operations of a step: products with weights, and attention."""
    work = token_work(recipe.model, recipe.vocabulary_size, recipe.schedule.sequence_tokens)
    return PASSES_PER_STEP * work.flops * recipe.schedule.batch_tokens


def measure_parts(shape: str, steps: int, batch_tokens: int | None) -> list[Timing]:
    """Time a whole step and each of its parts, with synchronization between parts."""
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


# What is compared with the plain loop: the recipe by default, and with other keys of `compute`.
BFLOAT16, COMPILED = "recipe.compute.precision=bfloat16", "recipe.compute.compile=always"
EAGER = "recipe.compute.compile=never"
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "cpu": {
        "ours": (),
        "ours, compiled": (COMPILED,),
        "ours in bfloat16": (BFLOAT16,),
        "ours in bfloat16, compiled": (BFLOAT16, COMPILED),
    },
    "cuda": {"ours": (), "ours, not compiled": (EAGER,)},
}


def variants_of(is_compiling: bool) -> dict[str, tuple[str, ...]]:
    """Return the variants for this machine: with bfloat16 only if the CPU has it, compiled on a CPU only if wanted."""
    has_bfloat16 = product_dtype("bfloat16", bench_device()) == torch.bfloat16
    left_out = (set() if is_compiling else {COMPILED}) | (set() if has_bfloat16 else {BFLOAT16})
    return {name: keys for name, keys in VARIANTS[bench_device().type].items() if left_out.isdisjoint(keys)}


def measure_ratios(shape: str, rounds: int, is_compiling: bool) -> tuple[list[Timing], list[Ratio]]:
    """Time a step of each variant against the plain loop of the same precision and optimizer, in turns in this process.

    On a GPU also against that loop compiled, as public scripts are.
    """
    variants, batch_tokens = variants_of(is_compiling), ratio_batch_tokens(shape)
    with ExitStack() as stack:
        jobs = {name: stack.enter_context(job_of_shape(shape, batch_tokens, *keys)) for name, keys in variants.items()}
        trainings = {name: TimedTraining(job, SilentJournal()) for name, job in jobs.items()}
        loops = plain_loops(list(jobs.values()))
        actions: dict[str, Callable[[], object]] = {
            name: with_default_allocator(loop.step) for name, loop in loops.items()
        }
        actions |= {name: with_kept_memory(training.whole_step) for name, training in trainings.items()}
        seconds = take_turns(actions, rounds, is_run_twice=True)
        for training in trainings.values():
            training.data.batches.close()
    recipe = jobs["ours"].recipe
    flops, tokens = step_flops(recipe), recipe.schedule.batch_tokens
    name = f"{shape}, {tokens:,} tokens a step"
    timings = [Timing(f"{name}: {key}", values, tokens, "tokens", flops) for key, values in seconds.items()]
    ratios = [
        Ratio(f"{shape}, training: {key} over the {other}", pair_ratios(seconds[other], seconds[key]))
        for other, loop in loops.items()
        for key, job in jobs.items()
        if products_of(job) == loop.products
    ]
    return timings, ratios


def plain_loops(jobs: list[TrainingJob]) -> dict[str, PlainLoop]:
    """Return the loops to compare with: one for each precision among `jobs`, and on a GPU also the loop compiled."""
    if bench_device().type == "cuda":
        loops = {is_compiled: plain_loop(jobs[0], is_compiled) for is_compiled in (False, True)}
        return {"plain loop, same optimizer": loops[False], "plain loop, compiled": loops[True]}
    by_products = {products_of(job): job for job in jobs}
    names = {torch.float32: "plain loop, same optimizer", torch.bfloat16: "plain loop in bfloat16, same optimizer"}
    return {names[products]: plain_loop(job) for products, job in by_products.items()}


def plain_loop(job: TrainingJob, is_compiled: bool = False) -> PlainLoop:
    """Return the plain loop with a job's shape, batch, data and precision."""
    schedule, shard = job.recipe.schedule, next(job.data.root.glob("fineweb_train_*.bin"))
    sizes = (schedule.batch_tokens, schedule.micro_tokens, schedule.sequence_tokens)
    return PlainLoop(plain_shape(job.recipe), shard, *sizes, True, bench_device(), products_of(job), is_compiled)


def products_of(job: TrainingJob) -> torch.dtype:
    """Return the dtype in which a job multiplies matrices on this machine."""
    return product_dtype(job.recipe.compute.precision, bench_device())


def with_default_allocator(action: Callable[[], object]) -> Callable[[], object]:
    """Return the action preceded by `use_default_allocator`, as an ordinary script runs it."""

    def act() -> object:
        use_default_allocator()
        return action()

    return act


def with_kept_memory(action: Callable[[], object]) -> Callable[[], object]:
    """Return the action preceded by `keep_freed_memory`, as the trainer runs it."""

    def act() -> object:
        keep_freed_memory()
        return action()

    return act


def pair_ratios(others: list[float], ours: list[float]) -> list[float]:
    """Return how many times as fast ours was, turn by turn."""
    return [other / own for other, own in zip(others, ours, strict=True)]
