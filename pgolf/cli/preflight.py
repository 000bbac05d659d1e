"""`pgolf preflight`: predicted bytes, time, memory and cost, and the rules, before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.text import Text

from pgolf.cli import options
from pgolf.cli.display.console import answer_console, findings_table, in_time, print_json, say
from pgolf.cli.display.table import Column, FittedTable
from pgolf.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from pgolf.preflight.growth import Growth
    from pgolf.preflight.preflight import Preflight
    from pgolf.scripts.reads import Variable


def preflight(
    specs: options.SpecArguments = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_calibrated: Annotated[
        bool, typer.Option("--calibrate", help="Measure training steps on this machine instead of assuming their time.")
    ] = False,
    described: Annotated[
        Path | None,
        typer.Option(
            "--describe",
            metavar="FILE",
            help="Instead of a spec, estimate the bytes of a public run by its hyperparameters in a JSON file such as "
            '{"model_params": 35944536, "compressor": "brotli", "config": {"num_layers": 11, ...}}.',
        ),
    ] = None,
    has_growth: Annotated[
        bool, typer.Option("--growth", help="Show what more width, depth, vocabulary or context would cost.")
    ] = False,
    is_json: options.Json = False,
) -> None:
    """Predict size, time, memory and cost of a spec, and check the rules. Exit code 3 if a check fails."""
    from pgolf.campaign.examination import examine_on_launcher
    from pgolf.cli.display.description import print_described
    from pgolf.preflight.growth import growth_of

    if described is not None:
        if specs or overlays or assignments:
            raise UsageError("--describe cannot be combined with a spec, --set or --with")
        print_described(described, is_json)
        return
    loaded = options.select_specs(specs, runs_dir, overlays, assignments, on)
    preflights = [examine_on_launcher(each.spec, runs_dir, is_calibrated, say) for each in loaded]
    growths = [growth_of(found) if has_growth else [] for found in preflights]
    if is_json:
        grown = ({"growth": [asdict(row) for row in rows]} if has_growth else {} for rows in growths)
        documents = [
            found.as_json() | {"point": each.point} | more
            for found, each, more in zip(preflights, loaded, grown, strict=True)
        ]
        print_json(documents[0] if len(documents) == 1 else {"specs": documents})
    else:
        names = [each.name for each in loaded]
        if len(preflights) > 1:
            print_summary(names, preflights)
        for name, found, rows in zip(names, preflights, growths, strict=True):
            if len(preflights) == 1:
                print_preflight(found)
            else:
                print_notable(name, found)
            if rows:
                print_growth(rows)
    failed = [finding.rule for found in preflights for finding in found.failures]
    if failed:
        raise CheckFailed(f"preflight failed: {', '.join(dict.fromkeys(failed))}")


def print_summary(names: Sequence[str], preflights: "Sequence[Preflight]") -> None:
    """Print one line a spec."""
    table = FittedTable(
        Column("spec", "name"),
        Column("parameters", "number", priority=1),
        Column("total bytes", "number"),
        Column("from", "number", priority=4),
        Column("to", "number", priority=4),
        Column("tokens", "number", priority=3),
        Column("train", "number", priority=2),
        Column("fails", "text"),
        Column("warns", "text"),
    )
    for name, found in zip(names, preflights, strict=True):
        rules = {name: [f.rule for f in found.findings if f.severity == name] for name in ("fail", "warn")}
        model, code = found.model_bytes, found.code_bytes
        sizes = [f"{n + code:,}" for n in (model.estimate, model.low, model.high)] if model else ["?", "?", "?"]
        tokens = found.planned_tokens
        table.add_row(
            name,
            f"{sum(found.groups.values()):,}" if found.groups else "?",
            *sizes,
            "?" if tokens is None else f"{tokens:.3g}",
            in_time(found.duration.train_seconds if found.duration else None),
            ", ".join(rules["fail"]) or "-",
            ", ".join(rules["warn"]) or "-",
        )
    answer_console().print(table)


def print_preflight(found: "Preflight") -> None:
    """Print the numbers, then the findings."""
    console = answer_console()
    table = FittedTable(Column("name"), Column("value", "text"), has_titles=False)
    for name, text in describe(found):
        table.add_row(Text(name, style="dim"), text)
    console.print(f"[bold]{escape(found.spec.name)}[/bold]  {escape(found.spec.question or '')}")
    console.print(table)
    console.print(findings_table(found.findings))


def print_notable(name: str, found: "Preflight") -> None:
    """Print the findings that are not passes, if there are any."""
    notable = [finding for finding in found.findings if finding.severity != "pass"]
    if notable:
        console = answer_console()
        console.print(f"[bold]{escape(name)}[/bold]")
        console.print(findings_table(notable))


def print_growth(rows: "list[Growth]") -> None:
    """Print one line for the recipe and one for each change, with time and memory relative to the recipe."""
    table = FittedTable(
        Column("with", "text"),
        Column("parameters", "number"),
        Column("ms/step", "number"),
        Column("tokens/s", "number", priority=1),
        Column("time", "number"),
        Column("memory/device", "number", priority=2),
        Column("", "number"),
    )
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


def describe(found: "Preflight") -> list[tuple[str, str]]:
    """Return the numbers of a preflight as labelled lines."""
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
    if found.script is not None:
        rows += describe_variables(found.spec.program.env, found.script.unset)
    if found.usd is not None:
        seeds = len(found.spec.seeds)
        all_seeds = f" a seed, ${seeds * found.usd:.2f} for the spec's {seeds}" if found.usd and seeds > 1 else ""
        rows.append(("cost", f"${found.usd:.2f}{all_seeds}"))
    return rows


def describe_variables(env: Mapping[str, str], unset: "Sequence[Variable]") -> list[tuple[str, str]]:
    """Return which variables of a script are set, and which keep their defaults."""
    given = [f"{name}={text}" for name, text in env.items()]
    left = [
        f"{each.name}={each.default} ({each.place})" if each.default is not None else f"{each.name} ({each.place})"
        for each in unset
    ]
    return [("set", ", ".join(given) or "nothing"), ("not set", ", ".join(left) or "nothing")]
