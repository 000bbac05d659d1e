"""`pgolf fit`: choose quantizer clips so that the artifact fits the limit."""

from pathlib import Path
from typing import Annotated

import typer

from pgolf.cli import options
from pgolf.cli.answer_files import write_answer
from pgolf.cli.display.console import answer_console, print_json
from pgolf.cli.display.table import Column, FittedTable
from pgolf.preflight.examine import examine
from pgolf.preflight.fit import LEAST_CLIP, FittedArtifact, fit_artifact


def fit(
    spec: options.SpecArgument = None,
    total_bytes: Annotated[
        int | None,
        typer.Option("--bytes", min=1, help="Limit for code and model together. Default: the limit of the rules."),
    ] = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    out: Annotated[Path | None, typer.Option("--out", help="Overlay file to write. Default: NAME.fit.yaml.")] = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_json: options.Json = False,
) -> None:
    """Choose quantizer clips with which the artifact fits a number of bytes, and write them as an overlay."""
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
