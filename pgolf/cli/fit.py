"""`pgolf fit`: choose quantizer clips so that the artifact fits the limit."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pgolf.cli import options
from pgolf.cli.display.console import answer_console, print_json
from pgolf.errors import MachineError, UsageError
from pgolf.preflight.correction import find_correction
from pgolf.preflight.examine import examine
from pgolf.preflight.fit import LEAST_CLIP, FittedClips, fit_clips
from pgolf.preflight.size import estimate_model_bytes
from trainer.recipe.quantizer import DeviationClip

# Share of the limit that must stay free before it is mentioned.
FREE_SHARE = 0.01
# train_gpt.py contains the clips, so its size changes with their digits.
CODE_SLACK_BYTES = 256


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
    preflight = examine(loaded.spec, runs_dir=runs_dir)
    recipe, code = preflight.spec.recipe, preflight.code_bytes
    limit = total_bytes or preflight.ruleset.artifact_limit_bytes
    if preflight.model_bytes is None:
        raise UsageError("the vocabulary size is not known; give --set recipe.data.vocabulary_size=N")
    if code + CODE_SLACK_BYTES >= limit:
        raise UsageError(f"train_gpt.py alone takes {code:,} of {limit:,} bytes, which leaves no room for a model")
    correction = find_correction(recipe, runs_dir)
    if correction is None:
        found = fit_clips(recipe, limit - code - CODE_SLACK_BYTES)
    else:
        found = fit_clips(
            recipe, limit - code - CODE_SLACK_BYTES, lambda fitted: correction.apply(estimate_model_bytes(fitted))
        )
    path = out or Path(f"{loaded.spec.name}.fit.yaml")
    write_overlay(path, found, f"pgolf fit {loaded.spec.name} --bytes {limit}")
    if is_json:
        document = {"k": found.clips, "times": found.times, "model_bytes": found.after.as_json(), "code_bytes": code}
        print_json(document | {"limit_bytes": limit, "expected_bpb": found.expected_bpb, "overlay": str(path)})
        return
    assert isinstance(recipe.quantizer.clip, DeviationClip)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("clip of", "k", "fitted k"):
        table.add_column(column, justify="left" if column == "clip of" else "right")
    for name, k in recipe.quantizer.clip.k.items():
        table.add_row(name, f"{k:g}", f"{found.clips[name]:g}")
    console = answer_console()
    console.print(table)
    for word, sizes in (("before", found.before), ("after", found.after)):
        total, low, high = sizes.estimate + code, sizes.low + code, sizes.high + code
        console.print(f"{word:<7} {total:,} bytes ({low:,} to {high:,}) of {limit:,}", highlight=False)
    console.print(
        f"margin  {limit - found.after.estimate - code:,} bytes, reserved for the uncertainty of the estimate",
        highlight=False,
    )
    console.print(
        f"expected change {found.expected_bpb:+.4f} bpb (rule of thumb: 0.0015 bpb per 280,000 bytes)", style="dim"
    )
    if found.after.high + code < limit * (1 - FREE_SHARE):
        console.print(f"some bytes stay unused: a clip below {LEAST_CLIP:g} standard deviations would cut off weights")
    options_again = [*(f"--with {name}" for name in overlays or []), *(f"--set '{each}'" for each in assignments or [])]
    command = " ".join(["pgolf run", spec or loaded.spec.name, *options_again, f"--with {path}"])
    console.print(command, style="dim", highlight=False, markup=False)


def write_overlay(path: Path, found: FittedClips, command: str) -> None:
    """Write the overlay; JSON flow mappings are YAML.

    Raises:
        MachineError: it cannot be written.
    """
    text = f"# {command}\nrecipe: {{quantizer: {{clip: {{k: {json.dumps(found.clips)}}}}}}}\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"{path}: {error.strerror}") from error
