"""`pgolf report`: finished runs in one table."""

import io
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pgolf.cli import options
from pgolf.cli.console import answer_console, print_json, say
from pgolf.cli.running import print_groups
from pgolf.errors import MachineError
from pgolf.report.groups import RunGroup, group_runs, runs_below
from pgolf.report.page import html_page
from pgolf.report.tables import csv_table, markdown_table


class Format(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    HTML = "html"


def report(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH", help="Runs, groups of seeds or runs folders.")
    ] = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    form: Annotated[Format, typer.Option("--format", help="How the answer is written.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option("--out", help="A file for the answer, in place of stdout.")] = None,
    is_json: options.Json = False,
) -> None:
    """Show every seed, then mean, sample standard deviation, 95 % interval, largest artifact and verdict."""
    if not paths and not runs_dir.exists():
        say(f"no run in {runs_dir}; `pgolf run quickstart` makes one")
    groups = group_runs(runs_below(paths or ([runs_dir] if runs_dir.exists() else [])))
    form = Format.JSON if is_json else form
    if form is Format.TABLE and out is None:
        if groups:
            print_groups(groups, answer_console())
    elif form is Format.JSON and out is None:
        print_json(report_json(groups))
    else:
        write(render(groups, form), out)


def report_json(groups: list[RunGroup]) -> dict[str, object]:
    return {"groups": [group.as_json() for group in groups]}


def render(groups: list[RunGroup], form: Format) -> str:
    """The groups as text of a format."""
    match form:
        case Format.CSV:
            return csv_table(groups)
        case Format.HTML:
            return html_page(groups)
        case Format.JSON:
            return json.dumps(report_json(groups), indent=2) + "\n"
        case Format.MARKDOWN:
            return markdown_table(groups)
        case Format.TABLE:
            console = Console(file=io.StringIO(), width=200, highlight=False)
            print_groups(groups, console)
            return str(console.file.getvalue())  # type: ignore[attr-defined]


def write(text: str, out: Path | None) -> None:
    """Nothing; the text is in the file, or on stdout.

    Raises: MachineError when the file cannot be written.
    """
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"{out}: {error.strerror}") from error
    say(f"wrote {out}")
