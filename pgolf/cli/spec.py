"""`pgolf spec`: look at a spec before it runs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pgolf.cli import options
from pgolf.cli.completion import complete_spec
from pgolf.cli.display.console import answer_console, print_json, say
from pgolf.errors import UsageError
from pgolf.specs.experiment import name_from
from pgolf.specs.flat import differences, flatten
from pgolf.specs.loading import LoadedSpec
from pgolf.specs.reference import reference_page
from pgolf.specs.schema import file_schema, schema_text
from pgolf.specs.shipped import shipped_specs
from trainer.recipe.execution_rope import ExecutionRope
from trainer.recipe.model import Gpt
from trainer.recipe.plan import execution_plan

spec_app = typer.Typer(no_args_is_help=True, help="Inspect specs: show, diff, schema, reference, list, new.")

NEW_SPEC = """\
# `pgolf run {file}` runs it; `pgolf spec show {file}` prints every value and where it came from.
spec_version: 1
extends: {base}
name: {name}
question: What happens if ...?
recipe:
  optimizer: {{matrix_lr: 0.03}}
"""


@spec_app.command()
def show(
    spec: options.SpecArgument = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_plan: Annotated[bool, typer.Option("--plan", help="Print the execution plan instead.")] = False,
    is_json: options.Json = False,
) -> None:
    """Print every resolved value and where it came from."""
    loaded = options.select_spec(spec, runs_dir, overlays, assignments)
    if is_plan:
        print_plan(loaded.require_recipe().spec.recipe.model, is_json)
    elif is_json:
        print_json(loaded.spec.as_json() | {"sources": loaded.sources})
    else:
        print_values(loaded)


def print_plan(model: Gpt, is_json: bool) -> None:
    """Print the executions of a model, in order."""
    plan = execution_plan(model)
    rows = [asdict(execution) for execution in plan]
    if is_json:
        print_json({"plan": rows})
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    # Leave out columns that would be empty.
    columns = [name for name in rows[0] if name in ("block", "loop", "rope") or any(is_set(row[name]) for row in rows)]
    for column in ("#", *columns):
        table.add_column(column)
    for index, (row, execution) in enumerate(zip(rows, plan, strict=True)):
        cells = {name: str(row[name]) if is_set(row[name]) else "-" for name in columns}
        cells |= {"loop": str(execution.loop), "rope": describe_rope(execution.rope)}
        table.add_row(str(index), *(cells[name] for name in columns))
    answer_console().print(table)


def is_set(value: object) -> bool:
    """Return whether a field of an execution differs from its neutral value."""
    match value:
        case bool():
            return value
        case None | "none":
            return False
        case float():
            return value != 1.0
        case _:
            return True


def describe_rope(rope: ExecutionRope) -> str:
    """Return a rotation in a few words: dimensions, and what is unusual about it."""
    words = [f"{rope.dims} dims"]
    if rope.period_dims != rope.dims:
        words.append(f"of {rope.period_dims}")
    if rope.divisor != 1.0:
        words.append(f"/ {rope.divisor:g}")
    if rope.trained_tokens is not None:
        words.append(f"from {rope.trained_tokens:,} tokens on")
    return " ".join(words)


def print_values(loaded: LoadedSpec) -> None:
    """Print one line a value."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("key", "value", "from"):
        table.add_column(column)
    for key, value in flatten(loaded.spec.as_json()).items():
        table.add_row(key, escape(json.dumps(value)), escape(loaded.sources.get(key, "default")))
    answer_console().print(table)


@spec_app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A spec.", autocompletion=complete_spec)],
    second: Annotated[str, typer.Argument(metavar="B", help="Another spec.", autocompletion=complete_spec)],
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_json: options.Json = False,
) -> None:
    """Print the keys in which two specs differ."""
    found = differences(*(options.select_spec(name, runs_dir).spec.as_json() for name in (first, second)))
    if is_json:
        print_json({"differences": found})
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("key", first, second):
        table.add_column(escape(column))
    for key, values in found.items():
        table.add_row(key, *(escape(json.dumps(value)) for value in values))
    answer_console().print(table)


@spec_app.command()
def schema() -> None:
    """Print the JSON schema of a spec, for editors."""
    typer.echo(schema_text(), nl=False)


@spec_app.command(short_help="Print every key of a spec, in Markdown.")
def reference() -> None:
    """Print every key of a spec with its type, default and meaning, in Markdown."""
    typer.echo(reference_page(file_schema()), nl=False)


@spec_app.command("list")
def list_shipped() -> None:
    """Print the shipped experiments."""
    for name, file in shipped_specs().items():
        typer.echo(f"{name}\t{file}")


@spec_app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")] = Path("spec.yaml"),
    base: Annotated[str, typer.Option("--extends", help="The experiment to build on.")] = options.DEFAULT_SPEC,
) -> None:
    """Write a small spec to start from."""
    if file.exists():
        raise UsageError(f"{file} exists already; give another name")
    file.write_text(NEW_SPEC.format(file=file, base=base, name=name_from(file.stem, "my-run")), encoding="utf-8")
    say(f"wrote {file}; `pgolf run {file}` runs it")
