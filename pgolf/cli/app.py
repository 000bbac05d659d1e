"""The pgolf command: wires the groups and renders errors."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape

from pgolf.cli.console import progress_console
from pgolf.cli.data import data_app
from pgolf.cli.launchers import launchers
from pgolf.cli.preflight import preflight
from pgolf.cli.report import report
from pgolf.cli.run import run
from pgolf.cli.seeds import seeds
from pgolf.cli.spec import spec_app
from pgolf.cli.status import cancel, logs, status
from pgolf.errors import Interrupted, MachineError, PgolfError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train language models that must fit in 16,000,000 bytes: validate, preflight, run, report.",
)
for command in (run, seeds, preflight, report, status, logs, cancel, launchers):
    app.command()(command)
app.add_typer(spec_app, name="spec")
app.add_typer(data_app, name="data")


def print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(version("pgolf"))
        raise typer.Exit


@app.callback()
def common(
    is_version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
    is_traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Run the command line; the exit code is that of the error tree."""
    wants_traceback = "--traceback" in sys.argv
    try:
        app()
    except PgolfError as error:
        if wants_traceback:
            raise
        sys.exit(complain(error))
    except KeyboardInterrupt:
        sys.exit(complain(Interrupted("interrupted")))
    except OSError as error:
        if wants_traceback:
            raise
        sys.exit(complain(MachineError(f"{error.filename or 'a file'}: {error.strerror}")))


def complain(error: PgolfError) -> int:
    """The exit code of an error, which stands on stderr."""
    progress_console().print(f"[bold red]error:[/bold red] {escape(str(error))}")
    return error.exit_code
