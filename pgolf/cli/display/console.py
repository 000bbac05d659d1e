"""The two output streams: the answer goes to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from pgolf.cli.display.table import Column, FittedTable
from pgolf.errors import UsageError
from pgolf.findings import Finding

# What --json promises of this version is in docs/csv_and_json.md.
SCHEMA_VERSION = 1
STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "unknown": "dim"}


def answer_console(file: IO[str] | None = None) -> Console:
    """Return a console on stdout or on a file. Tables fit COLUMNS, else the terminal, else 80 columns."""
    return with_whole_lines(Console(file=file, highlight=False, emoji=False))


def with_whole_lines(console: Console) -> Console:
    """Return the console, set to break sentences on a terminal only, so that programs find them on one line."""
    console.soft_wrap = not console.is_terminal
    return console


def print_line(console: Console, line: str, style: str = "") -> None:
    """Print a line that may hold anything, such as a name in brackets."""
    console.print(line, style=style, markup=False)


def progress_console() -> Console:
    """Return a console on stderr."""
    return with_whole_lines(Console(stderr=True, highlight=False, emoji=False))


def say(line: str) -> None:
    """Print a line on stderr."""
    progress_console().print(escape(line))


def agree_to_pay(usd: float | None) -> None:
    """Ask the user to agree to a cost.

    Raises:
        UsageError: the user does not agree, or there is no terminal to ask on.
    """
    import typer

    cost = "at an unknown cost" if usd is None else f"for about ${usd:.2f}"
    if not sys.stdin.isatty():
        raise UsageError(f"this would run {cost}, and stdin is not a terminal to ask on; --yes accepts the cost")
    if not typer.confirm(f"Run {cost}?", err=True):
        raise UsageError("the cost was not agreed to; nothing was started")


def print_json(answer: Mapping[str, Any]) -> None:
    """Print the answer of --json on stdout."""
    print(json_text(answer), end="")


def json_text(answer: Mapping[str, Any]) -> str:
    """Return the answer of --json, an object that says which version of its keys it has."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **answer}, indent=2, allow_nan=False) + "\n"


def findings_table(findings: Sequence[Finding]) -> FittedTable:
    """Return a table of findings, each with its fix if there is one."""
    table = FittedTable(Column("severity"), Column("rule"), Column("message", "text"), has_titles=False)
    for finding in findings:
        text = Text(printable(finding.message))
        if finding.fix:
            text.append(f"\nfix: {printable(finding.fix)}", style="dim")
        table.add_row(Text(finding.severity, style=STYLES[finding.severity]), finding.rule, text)
    return table


def printable(text: str) -> str:
    """Return a text without control characters, which an untrusted file may contain."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def in_time(seconds: float | None) -> str:
    """Return a duration in the unit that reads best."""
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
