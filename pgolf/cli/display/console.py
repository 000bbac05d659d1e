"""The two output streams: the answer goes to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pgolf.errors import UsageError
from pgolf.findings import Finding

# What --json promises of this version is in docs/csv_and_json.md.
SCHEMA_VERSION = 1
STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "unknown": "dim"}


def answer_console() -> Console:
    """Return a console on stdout; wide where the output does not go to a terminal."""
    console = Console(highlight=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, width=200)


def progress_console() -> Console:
    """Return a console on stderr."""
    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


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


def findings_table(findings: list[Finding]) -> Table:
    """Return a table of findings, each with its fix if there is one."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for finding in findings:
        text = escape(printable(finding.message)) + (f"\n[dim]fix: {escape(finding.fix)}[/dim]" if finding.fix else "")
        table.add_row(f"[{STYLES[finding.severity]}]{finding.severity}[/]", finding.rule, text)
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
