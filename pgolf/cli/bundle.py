"""`pgolf bundle`: the trainer and one recipe in one file."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from pgolf.bundle.build import PROGRAM, bundle_of
from pgolf.cli import options
from pgolf.cli.completion import complete_spec_or_run
from pgolf.cli.display.console import answer_console, print_json, say
from pgolf.findings import counted
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import find_run, matching_runs
from pgolf.specs.loading import LoadedSpec, load_spec
from pgolf.specs.shipped import shipped_specs
from trainer.recipe.optimizer import MuonAdamW
from trainer.recipe.recipe import Recipe

IMPORTS_TRAINER = re.compile(r"^\s*(?:from|import) trainer\b", re.MULTILINE)


def bundle(
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC|RUN",
            help=f"A spec or a run. {options.SPEC_DEFAULT}",
            autocompletion=complete_spec_or_run,
        ),
    ] = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("bundle"),
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_json: options.Json = False,
) -> None:
    """Write train_gpt.py, which trains and scores without pgolf, and a readable version of it."""
    spec = select(reference, runs_dir, overlays, assignments).spec
    built = bundle_of(spec, load_ruleset(spec.ruleset))
    files = built.write(out)
    for name, text in json.loads(built.embedded)["local"].items():
        if IMPORTS_TRAINER.search(text):
            say(f"note: {name} imports trainer, so train_gpt.py runs only where pgolf is installed")
    if is_json:
        print_json({"spec": spec.name, "out": str(out), "code_bytes": files[PROGRAM], "files": files})
        return
    console = answer_console()
    for name, size in files.items():
        console.print(f"{size:>9,}  {out / name}", highlight=False)
    starter = "python" if spec.processes == 1 else f"torchrun --standalone --nproc_per_node={spec.processes}"
    console.print(f"{starter} {out / PROGRAM}   # --help lists its variables", style="dim", highlight=False)
    console.print(f"runs in {describe_processes(spec.recipe)}", style="dim", highlight=False)


def describe_processes(recipe: Recipe) -> str:
    """Return the numbers of processes that can share the forward passes of a step."""
    if isinstance(recipe.optimizer, MuonAdamW) and recipe.optimizer.published_stale_gradients:
        return "1 process, because it reproduces published_stale_gradients"
    passes = recipe.schedule.micro_steps
    numbers = [str(number) for number in range(1, passes + 1) if passes % number == 0]
    counts = f"{' or '.join(numbers)} process{'es' if len(numbers) > 1 else ''}"
    return f"{counts}: a step has {counted(passes, 'forward pass')}"


def select(
    reference: str | None, runs_dir: Path, overlays: list[str] | None, assignments: list[str] | None
) -> LoadedSpec:
    """Return the spec that a reference names: that of a run, if there is such a run.

    Raises:
        UsageError: it names several runs, and no spec.
    """
    if reference is not None and not reference.endswith((".yaml", ".yml")):
        runs = matching_runs(reference, runs_dir)
        if len(runs) == 1 or (runs and reference not in shipped_specs()):
            run = find_run(reference, runs_dir)
            return load_spec(run.files.spec, overlays or [], assignments or []).require_recipe()
    return options.select_spec(reference, runs_dir, overlays, assignments).require_recipe()
