"""`pgolf fit`: choose the quantizer's clips, or its steps, for a number of bytes."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pgolf.campaign.from_checkpoint import load_child
from pgolf.campaign.step_search import FoundSteps, search_steps
from pgolf.cli import options
from pgolf.cli.answer_files import write_answer
from pgolf.cli.display.console import answer_console, print_json
from pgolf.cli.display.table import Column, FittedTable
from pgolf.errors import UsageError
from pgolf.preflight.examine import examine
from pgolf.preflight.fit import LEAST_CLIP, FittedArtifact, fit_artifact
from pgolf.rundir import find_run


class FitBy(StrEnum):
    """What `pgolf fit` goes by."""

    CLIPS = "clips"
    SENSITIVITY = "sensitivity"


def fit(
    spec: options.SpecArgument = None,
    total_bytes: Annotated[
        int | None,
        typer.Option(
            "--bytes",
            min=1,
            help="Bytes of code and model together. Default: the limit of the rules; with --by sensitivity, those of "
            "the run.",
        ),
    ] = None,
    by: Annotated[
        FitBy,
        typer.Option(
            "--by",
            help="Scale the clips by one factor, before training (clips); or give each row and column the step that "
            "its sensitivity calls for, after training (sensitivity).",
        ),
    ] = FitBy.CLIPS,
    parent: Annotated[
        str | None,
        typer.Option("--from-checkpoint", metavar="RUN", help="Finished run whose weights --by sensitivity measures."),
    ] = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Overlay file to write. Default: NAME.fit.yaml, or NAME.steps.yaml by sensitivity."),
    ] = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_json: options.Json = False,
) -> None:
    """Choose quantizer clips or steps with which the artifact has a number of bytes, and write them as an overlay."""
    if by is FitBy.SENSITIVITY:
        fit_by_sensitivity(spec, parent, total_bytes, assignments or [], overlays or [], out, runs_dir, is_json)
        return
    if parent is not None:
        raise UsageError("--from-checkpoint needs --by sensitivity: clips are fitted before training")
    loaded = options.select_spec(spec, runs_dir, overlays, assignments).require_recipe()
    found = fit_artifact(examine(loaded.spec, runs_dir=runs_dir), total_bytes, runs_dir)
    path = out or Path(f"{loaded.spec.name}.fit.yaml")
    write_answer(path, f"# pgolf fit {loaded.spec.name} --bytes {found.limit_bytes}\n{found.fitted.overlay()}")
    if is_json:
        print_json(found.as_json() | {"overlay": str(path)})
        return
    print_fit(found)
    options_again = [*(f"--with {name}" for name in overlays or []), *(f"--set '{each}'" for each in assignments or [])]
    command = " ".join(["pgolf run", spec or loaded.spec.name, *options_again, f"--with {path}"])
    answer_console().print(command, style="dim", highlight=False, markup=False)


def fit_by_sensitivity(
    spec: str | None, parent: str | None, total_bytes: int | None, assignments: list[str], overlays: list[str],
    out: Path | None, runs_dir: Path, is_json: bool,
) -> None:  # fmt: skip
    """Search the exponents of steps for the weights of a run, and write them as an overlay.

    Raises:
        UsageError: no run is named, or a spec is.
    """
    if parent is None or spec is not None:
        raise UsageError("--by sensitivity measures trained weights: name a run with --from-checkpoint, and no spec")
    run = find_run(parent, runs_dir)
    console = answer_console()

    def show(tried: dict[str, Any]) -> None:
        if not is_json:
            words = " ".join(f"{name} {tried[name]:g}" for name in ("tensor", "row", "column") if name in tried)
            console.print(f"{words:<32} {tried['divergence']:.6f} nats a token", style="dim", highlight=False)

    if not is_json:
        console.print(f"quantizing {run.run_id} with one set of exponents after another", style="dim", highlight=False)
    found = search_steps(run, load_child(run, overlays, assignments).spec, total_bytes, show)
    path = out or Path(f"{run.root.parent.name}.steps.yaml")
    changes = [*(f"--with {shlex.quote(name)}" for name in overlays), *(f"--set {shlex.quote(s)}" for s in assignments)]
    again = " ".join(["--by sensitivity --from-checkpoint", run.run_id, *changes, f"--bytes {found.total_bytes}"])
    write_answer(path, f"# pgolf fit {again}\n{found.overlay()}")
    if is_json:
        print_json(found.as_json() | {"overlay": str(path)})
        return
    print_steps(found)
    place = [] if runs_dir == options.DEFAULT_RUNS_DIR else [f"--runs-dir {shlex.quote(str(runs_dir))}"]
    changes += [f"--with {shlex.quote(str(path))}", *place]
    command = " ".join(["pgolf run --from-checkpoint", shlex.quote(parent), *changes])
    console.print(command, style="dim", highlight=False, markup=False)


def print_steps(found: FoundSteps) -> None:
    """Print what each tensor gets."""
    console, total = answer_console(), sum(tensor["nats"] for tensor in found.tensors)
    table = FittedTable(
        Column("tensor", "name"), Column("step", "number"), Column("bits", "number"), Column("of the loss", "number")
    )
    for tensor in found.tensors:
        share = tensor["nats"] / total if total else 0.0
        table.add_row(tensor["name"], f"{tensor['step']:.4g}", f"{tensor['bits']:.2f}", f"{share:.1%}")
    console.print(table)
    weights = sum(tensor["weights"] for tensor in found.tensors)
    bits = sum(tensor["weights"] * tensor["bits"] for tensor in found.tensors) / weights
    words = " ".join(f"{name} {exponent:g}" for name, exponent in found.exponents.items())
    console.print(f"exponents  {words}: the least divergence on training text", highlight=False)
    console.print(f"bytes      {found.total_bytes:,} of code and model, {bits:.2f} bits a weight", highlight=False)


def print_fit(found: FittedArtifact) -> None:
    """Print the clips and the bytes, before and after."""
    console, code, limit = answer_console(), found.code_bytes, found.limit_bytes
    table = FittedTable(Column("clip of", "name"), Column("k", "number"), Column("fitted k", "number"))
    for name, k in found.old_clips.items():
        table.add_row(name, f"{k:g}", f"{found.fitted.clips[name]:g}")
    console.print(table)
    for word, sizes in (("before", found.fitted.before), ("after", found.fitted.after)):
        total, low, high = sizes.estimate + code, sizes.low + code, sizes.high + code
        console.print(f"{word:<7} {total:,} bytes ({low:,} to {high:,}) of {limit:,}", highlight=False)
    console.print(
        f"margin  {found.free_bytes:,} bytes, reserved for the uncertainty of the estimate",
        highlight=False,
    )
    expected = f"{found.fitted.expected_bpb:+.4f} bpb (rule of thumb: 0.0015 bpb per 280,000 bytes)"
    console.print(f"expected change {expected}", style="dim")
    if found.has_unused_bytes:
        console.print(f"some bytes stay unused: a clip below {LEAST_CLIP:g} standard deviations would cut off weights")
