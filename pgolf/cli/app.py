"""The pgolf command: wires the commands together and renders errors."""

import sys
from typing import Annotated

import typer

from pgolf.cli.commands import LazyCommands, markup_mode
from pgolf.errors import Interrupted, MachineError, PgolfError

app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=markup_mode(),
    help="Train language models that must fit in 16,000,000 bytes: validate, preflight, run, report.",
)


def print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(version("pgolf"))
        raise typer.Exit


@app.callback()
def common(
    is_version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
    is_traceback: Annotated[bool, typer.Option("--traceback", help="Show the Python traceback of an error.")] = False,
) -> None:
    """Read the options before the command."""


def main() -> None:
    """Run the command line; the exit code is the error's (pgolf/errors.py)."""
    wants_traceback = "--traceback" in sys.argv
    try:
        app(prog_name="pgolf")  # also as `python -m pgolf`: shells complete `pgolf`
    except PgolfError as error:
        if wants_traceback:
            raise
        sys.exit(report_error(error))
    except KeyboardInterrupt:
        sys.exit(report_error(Interrupted("interrupted")))
    except OSError as error:
        if wants_traceback:
            raise
        sys.exit(report_error(MachineError.from_os_error(error)))


def report_error(error: PgolfError) -> int:
    """Print an error on stderr and return its exit code."""
    from rich.markup import escape

    from pgolf.cli.display.console import progress_console

    progress_console().print(f"[bold red]error:[/bold red] {escape(str(error))}")
    return error.exit_code
