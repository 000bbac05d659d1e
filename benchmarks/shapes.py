"""The model shapes that are measured, as trainer jobs on the embedded corpus."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.plain_loop import Shape
from pgolf.campaign.run_documents import run_documents
from pgolf.preflight.examine import examine
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec
from trainer.recipe.plan import execution_plan
from trainer.recipe.recipe import Recipe
from trainer.runtime.job import TrainingJob, read_job

# Tokens of a step on a CPU when ratios are measured. Newton-Schulz costs as much as 1,000 tokens of the baseline, so
# smaller steps would mostly measure the optimizer.
RATIO_BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class BenchShape:
    """A shipped spec on the embedded corpus; `micro_tokens` is its micro-batch on a CPU."""

    spec: str
    vocabulary: int
    micro_tokens: int
    gpu_batch_tokens: int | None = None
    """Tokens of a step on a GPU, if the spec's own batch would not keep a GPU busy."""


SHAPES = {
    "quickstart": BenchShape("quickstart", 1024, 2048, 65_536),
    "baseline": BenchShape("baseline", 1024, 4096),
    "11 layers": BenchShape("pr549_leaky_ttt", 1024, 4096),
    "crawler": BenchShape("pr1579_crawler_d736", 8192, 4096),
}


@contextmanager
def job_of_shape(name: str, batch_tokens: int | None, *more: str) -> Iterator[TrainingJob]:
    """Yield the job of a shape, with its spec's batch or another one, and with further --set changes."""
    shape = SHAPES[name]
    changes = [f"recipe.data={{kind: embedded, vocabulary_size: {shape.vocabulary}}}", "launch.gpu=null", *more]
    changes += [f"recipe.schedule.batch_tokens={batch_tokens}"] if batch_tokens else []
    if batch_tokens and bench_device().type == "cpu":
        changes.append(f"recipe.schedule.micro_batch_tokens={shape.micro_tokens}")
    with TemporaryDirectory(prefix="pgolf-bench-") as folder:
        loaded = load_spec(shape.spec, [], changes)
        run = RunDirectory(Path(folder) / shape.spec / "seed-0")
        preflight = examine(loaded.spec, runs_dir=Path(folder))
        run.create(*run_documents(preflight, run, 0, {}), {})
        yield read_job(run.root)


def bench_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def ratio_batch_tokens(name: str) -> int | None:
    """Return the tokens of a step for comparisons with the plain loop; None means the spec's own batch."""
    return SHAPES[name].gpu_batch_tokens if bench_device().type == "cuda" else RATIO_BATCH_TOKENS


def plain_shape(recipe: Recipe) -> Shape:
    """Return a recipe's shape for the plain loop: widths, blocks and the order in which they run.

    The plain loop has no bigrams, value embeddings, smears or exclusive attention, so it does less work than recipes
    that have them.
    """
    model = recipe.model
    names = [execution.block for execution in execution_plan(model)]
    blocks = list(dict.fromkeys(names))
    return Shape(
        vocabulary=recipe.vocabulary_size,
        width=model.width,
        order=tuple(blocks.index(name) for name in names),
        heads=model.attention.heads,
        kv_heads=model.attention.kv_heads,
        hidden=model.hidden_width(blocks[0]),
        rope_dims=model.attention.rope.dims or model.width // model.attention.heads,
        softcap=model.softcap,
    )
