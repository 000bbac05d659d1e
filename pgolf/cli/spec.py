"""`pgolf spec`: look at a spec before it runs."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgolf.cli import options
from pgolf.cli.completion import complete_spec
from pgolf.cli.display.console import answer_console, print_json, say
from pgolf.cli.display.table import Column, FittedTable

if TYPE_CHECKING:
    from pgolf.specs.loading import LoadedSpec
    from trainer.recipe.execution_rope import ExecutionRope
    from trainer.recipe.model import Gpt

spec_app = typer.Typer(no_args_is_help=True, help="Inspect specs: show, diff, schema, reference, list, new.")


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


def print_plan(model: "Gpt", is_json: bool) -> None:
    """Print the executions of a model, in order."""
    from trainer.recipe.plan import execution_plan

    plan = execution_plan(model)
    rows = [asdict(execution) for execution in plan]
    if is_json:
        print_json({"plan": rows})
        return
    # Leave out columns that would be empty.
    columns = [name for name in rows[0] if name in ("block", "loop", "rope") or any(is_set(row[name]) for row in rows)]
    fitted = (Column(name, priority=0 if name == "block" else place) for place, name in enumerate(columns, start=1))
    table = FittedTable(Column("#", "number"), *fitted, has_hidden_line=True)
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


def describe_rope(rope: "ExecutionRope") -> str:
    """Return a rotation in a few words: dimensions, and what is unusual about it."""
    words = [f"{rope.dims} dims"]
    if rope.period_dims != rope.dims:
        words.append(f"of {rope.period_dims}")
    if rope.divisor != 1.0:
        words.append(f"/ {rope.divisor:g}")
    if rope.trained_tokens is not None:
        words.append(f"from {rope.trained_tokens:,} tokens on")
    return " ".join(words)


def print_values(loaded: "LoadedSpec") -> None:
    """Print one line a value."""
    from pgolf.specs.flat import flatten
    from pgolf.specs.shipped import SHIPPED

    table = FittedTable(Column("key"), Column("value", "text"), Column("from", "text"))
    for key, value in flatten(loaded.spec.as_json()).items():
        source = loaded.sources.get(key, "default").removeprefix(f"{SHIPPED}/")
        table.add_row(key, json.dumps(value), source)
    answer_console().print(table)


@spec_app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A spec.", autocompletion=complete_spec)],
    second: Annotated[str, typer.Argument(metavar="B", help="Another spec.", autocompletion=complete_spec)],
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_json: options.Json = False,
) -> None:
    """Print the keys in which two specs differ."""
    from pgolf.specs.flat import differences

    found = differences(*(options.select_spec(name, runs_dir).spec.as_json() for name in (first, second)))
    if is_json:
        print_json({"differences": found})
        return
    table = FittedTable(Column("key"), Column(first, "text"), Column(second, "text"))
    for key, values in found.items():
        table.add_row(key, *map(json.dumps, values))
    answer_console().print(table)


@spec_app.command()
def schema() -> None:
    """Print the JSON schema of a spec, for editors."""
    from pgolf.specs.schema import schema_text

    typer.echo(schema_text(), nl=False)


@spec_app.command(short_help="Print every key of a spec, in Markdown.")
def reference() -> None:
    """Print every key of a spec with its type, default and meaning, in Markdown."""
    from pgolf.specs.reference import reference_page
    from pgolf.specs.schema import file_schema

    typer.echo(reference_page(file_schema()), nl=False)


@spec_app.command("list")
def list_shipped(is_json: options.Json = False) -> None:
    """Print the shipped experiments: parameters and questions."""
    from pgolf.specs.shipped import shipped_specs

    rows = [describe_spec(name, file) for name, file in shipped_specs().items()]
    if is_json:
        print_json({"specs": rows})
    else:
        answer_console().print(specs_table(rows))


def specs_table(rows: list[dict[str, Any]]) -> FittedTable:
    """Return a table with one line per spec."""
    table = FittedTable(Column("spec"), Column("parameters", "number"), Column("question", "text"))
    for row in rows:
        parameters = row["parameters"]
        table.add_row(row["name"], "-" if parameters is None else f"{parameters:,}", row["question"] or "")
    return table


def describe_spec(name: str, file: Path) -> dict[str, Any]:
    """Return what `spec list` says of a shipped spec."""
    from pgolf.specs.loading import load_spec
    from trainer.recipe.inventory import inventory

    spec = load_spec(file).spec
    parameters = sum(tensor.size for tensor in inventory(spec.recipe.model, spec.recipe.vocabulary_size))
    return {"name": name, "question": spec.question, "parameters": parameters, "file": str(file)}


@spec_app.command(short_help="Write a small spec to start from, and its schema.")
def new(
    path: Annotated[
        Path,
        typer.Argument(metavar="NAME", help="The file to write; `.yaml` is added to a name, as in `spec new wider`."),
    ] = Path("spec.yaml"),
    base: Annotated[
        str, typer.Option("--extends", help="The experiment to build on.", autocompletion=complete_spec)
    ] = options.DEFAULT_SPEC,
) -> None:
    """Write a small spec to start from, and the schema by which editors complete and check it."""
    from pgolf.specs.new_spec import write_new_spec

    file, schema = write_new_spec(path, base)
    say(f"wrote {file}, which builds on {base}, and {schema} for editors")
    say(f"write down your question and what you change, then run `pgolf preflight {shlex.quote(str(file))}`")
