"""The shapes that are measured, as jobs of the trainer on the embedded corpus."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.plain_loop import Shape
from pgolf.preflight.examine import examine
from pgolf.preflight.prepared import run_documents
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec
from trainer.recipe.recipe import Recipe
from trainer.recipe.topology import FlatTopology
from trainer.runtime.job import TrainingJob, read_job

# Newton-Schulz alone costs as much as some 1,000 tokens of the baseline: ratios are taken at no fewer than these.
RATIO_BATCH_TOKENS = 16_384
EMBEDDED = "recipe.data={kind: embedded, vocabulary_size: 1024}"
SHAPES = {
    "quickstart": (EMBEDDED, "recipe.schedule.micro_batch_tokens=2048"),
    "baseline": (EMBEDDED, "recipe.schedule.micro_batch_tokens=4096", "launch.gpu=null"),
}


@contextmanager
def job_of_shape(name: str, batch_tokens: int | None) -> Iterator[TrainingJob]:
    """A context with the job of a shipped spec's shape, at its own batch or at another."""
    changes = [*SHAPES[name]] if batch_tokens else ["recipe.schedule.micro_batch_tokens=null", EMBEDDED]
    changes += [f"recipe.schedule.batch_tokens={batch_tokens}"] if batch_tokens else []
    with TemporaryDirectory(prefix="pgolf-bench-") as folder:
        loaded = load_spec(name, [], changes)
        run = RunDirectory(Path(folder) / name / "seed-0")
        preflight = examine(loaded.spec, runs_dir=Path(folder))
        run.create(*run_documents(preflight, run, 0, {}), {})
        yield read_job(run.root)


def plain_shape(recipe: Recipe) -> Shape:
    """The same shape for the plain loop."""
    model = recipe.model
    assert isinstance(model.topology, FlatTopology), "the plain loop has flat models only"
    return Shape(
        vocabulary=recipe.vocabulary_size,
        width=model.width,
        layers=model.topology.layers,
        heads=model.attention.heads,
        kv_heads=model.attention.kv_heads,
        hidden=model.hidden_width("flat.0"),
        rope_dims=model.attention.rope.dims or model.width // model.attention.heads,
        softcap=model.softcap,
    )
