"""`pgolf preflight`: bytes, seconds, memory, dollars and rules before anything runs."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pgolf.cli import options
from pgolf.cli.console import answer_console, findings_table, in_time, print_json, say
from pgolf.cli.described import print_described
from pgolf.dispatch import with_launcher_findings
from pgolf.errors import CheckFailed, LauncherError, UsageError
from pgolf.findings import Finding
from pgolf.launching import load_launcher
from pgolf.preflight.examine import Preflight, examine
from pgolf.preflight.examined import Examined, examine_any
from pgolf.preflight.growth import Growth, growth_of
from pgolf.preflight.scripts import ScriptPreflight
from pgolf.preflight.stopwatch import time_steps
from pgolf.specs.loading import Loaded


def preflight(
    specs: options.SpecArguments = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_calibrated: Annotated[bool, typer.Option("--calibrate", help="Time real training steps here.")] = False,
    described: Annotated[
        Path | None,
        typer.Option("--describe", metavar="FILE", help="A JSON object with the hyperparameters of a public run."),
    ] = None,
    is_growing: Annotated[
        bool, typer.Option("--growth", help="Show what more width, depth, vocabulary or context would take.")
    ] = False,
    is_json: options.Json = False,
) -> None:
    """Say whether a spec will fit and be allowed, and what it will take. Exit code 3 if any check fails."""
    if described is not None:
        if specs or overlays or assignments:
            raise UsageError("--describe takes a file in place of a spec; name one or the other")
        print_described(described, is_json)
        return
    loaded = options.select_specs(specs, runs_dir, overlays, assignments, on)
    examined = [examine_fully(spec, runs_dir, is_calibrated) for spec in loaded]
    growths = [growth(found) if is_growing else [] for found in examined]
    if is_json:
        grown = ({"growth": [asdict(row) for row in rows]} if is_growing else {} for rows in growths)
        documents = [found.as_json() | more for found, more in zip(examined, grown, strict=True)]
        print_json(documents[0] if len(documents) == 1 else {"specs": documents})
    else:
        if len(examined) > 1:
            print_summary(examined)
        for found, rows in zip(examined, growths, strict=True):
            print_preflight(found, is_brief=len(examined) > 1)
            if rows:
                print_growth(rows)
    failed = [finding.rule for found in examined for finding in found.failures]
    if failed:
        raise CheckFailed(f"preflight says no: {', '.join(dict.fromkeys(failed))}")


def examine_fully(loaded: Loaded, runs_dir: Path, is_calibrated: bool) -> Examined:
    """The preflight of a spec with its launcher's findings and, on request, measured steps."""
    found = examine_any(loaded.spec, runs_dir=runs_dir, on_progress=say)
    if is_calibrated and not isinstance(found, Preflight):
        raise UsageError(f"--calibrate times steps of a recipe; {found.spec.name} runs a script")
    if is_calibrated and isinstance(found, Preflight) and found.located is not None:
        seconds = time_steps(found)
        found = examine(found.spec, runs_dir=runs_dir, step_seconds=seconds, on_progress=say)
    try:
        return with_launcher_findings(found, load_launcher(loaded.spec.launch.on), runs_dir, runs=1)
    except LauncherError as error:
        return found.with_findings([Finding("fail", "launcher", str(error), "pgolf launchers lists what there is")])


def print_summary(examined: list[Examined]) -> None:
    """Nothing; one line a spec."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("spec", "parameters", "total bytes", "from", "to", "tokens", "train", "says no", "warns"):
        table.add_column(column, justify="right" if column in ("parameters", "total bytes", "from", "to") else "left")
    for found in examined:
        rules = {name: [f.rule for f in found.findings if f.severity == name] for name in ("fail", "warn")}
        model, code = found.model_bytes, found.code_bytes
        sizes = [f"{n + code:,}" for n in (model.estimate, model.low, model.high)] if model else ["?", "?", "?"]
        tokens = found.planned_tokens
        table.add_row(
            escape(found.spec.name),
            f"{sum(found.groups.values()):,}" if found.groups else "?",
            *sizes,
            "?" if tokens is None else f"{tokens:.3g}",
            in_time(found.duration.train_seconds if found.duration else None),
            ", ".join(rules["fail"]) or "-",
            ", ".join(rules["warn"]) or "-",
        )
    answer_console().print(table)


def print_preflight(found: Examined, is_brief: bool) -> None:
    """Nothing; the numbers, then the findings. In brief: only findings that do not pass."""
    console = answer_console()
    if is_brief:
        notable = [finding for finding in found.findings if finding.severity != "pass"]
        console.print(f"[bold]{escape(found.spec.name)}[/bold]  {escape(found.spec.question or '')}")
        console.print(findings_table(notable))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, text in describe(found):
        table.add_row(name, escape(text))
    console.print(f"[bold]{escape(found.spec.name)}[/bold]  {escape(found.spec.question or '')}")
    console.print(table)
    console.print(findings_table(found.findings))


def growth(found: Examined) -> list[Growth]:
    """The recipe and each change of it, with what they take.

    Raises: UsageError when it is a script's, or its vocabulary is not known.
    """
    if not isinstance(found, Preflight) or found.spec.recipe.data.vocabulary_size is None:
        raise UsageError(
            f"--growth needs a recipe whose vocabulary is known; {found.spec.name} has none here. "
            "--set recipe.data.vocabulary_size=N says it"
        )
    return growth_of(found.spec.recipe, found.spec.launch.gpu, len(os.sched_getaffinity(0)), found.step_seconds)


def print_growth(rows: list[Growth]) -> None:
    """Nothing; a line for the recipe and for each change of it, beside the time and memory of the recipe itself."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("with", "parameters", "ms a step", "tokens/s", "time", "memory a device", ""):
        table.add_column(column, justify="left" if column == "with" else "right")
    for row in rows:
        table.add_row(
            row.change,
            f"{row.parameters:,}",
            f"{1000 * row.step_seconds:,.1f}",
            f"{row.tokens_a_second:,.0f}",
            f"x{row.step_seconds / rows[0].step_seconds:.2f}",
            f"{row.memory_bytes / 1e9:.1f} GB",
            f"x{row.memory_bytes / rows[0].memory_bytes:.2f}",
        )
    answer_console().print(table)


def describe(found: Examined) -> list[tuple[str, str]]:
    """The numbers of a preflight, for people."""
    rows = []
    if found.groups:
        parts = ", ".join(f"{name} {size:,}" for name, size in found.groups.items())
        rows.append(("parameters", f"{sum(found.groups.values()):,} ({parts})"))
    if found.model_bytes:
        model, code = found.model_bytes, found.code_bytes
        rows.append(("artifact", f"model {model.estimate:,} + code {code:,} = {model.estimate + code:,} bytes"))
    if found.duration:
        steps = f", {found.duration.steps:,} steps" if found.duration.steps is not None else ""
        rows.append(("train", f"{in_time(found.duration.train_seconds)}{steps}; {found.duration.basis}"))
        rows.append(("score", in_time(found.duration.evaluate_seconds)))
    if found.epochs is not None:
        rows.append(("epochs", f"{found.epochs:.2f}"))
    if isinstance(found, ScriptPreflight):
        rows += describe_variables(found)
    if found.usd is not None:
        seeds = len(found.spec.seeds)
        all_seeds = f" a seed, ${seeds * found.usd:.2f} for the spec's {seeds}" if found.usd and seeds > 1 else ""
        rows.append(("cost", f"${found.usd:.2f}{all_seeds}"))
    return rows


def describe_variables(found: ScriptPreflight) -> list[tuple[str, str]]:
    """What a script's variables are set to, and left at."""
    given = [f"{name}={text}" for name, text in found.spec.program.env.items()]
    left = [
        f"{each.name}={each.default} ({each.place})" if each.default is not None else f"{each.name} ({each.place})"
        for each in found.unset
    ]
    return [("set", ", ".join(given) or "nothing"), ("not set", ", ".join(left) or "nothing")]
