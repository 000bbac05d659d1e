"""The two streams: stdout carries the answer, stderr everything else."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pgolf.errors import UsageError
from pgolf.findings import Finding

STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "unknown": "dim"}


def answer_console() -> Console:
    """stdout; as wide as needed where nobody looks at a screen."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=200)


def progress_console() -> Console:
    """stderr."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """Nothing; a line on stderr."""
    progress_console().print(escape(line))


def agree_to_pay(usd: float | None) -> None:
    """Nothing, if whoever sits here agrees.

    Raises: UsageError when nobody does, or nobody can be asked.
    """
    import typer

    words = "cost nobody knows how much" if usd is None else f"cost about ${usd:.2f}"
    if not sys.stdin.isatty():
        raise UsageError(f"this will {words}, and nobody is here to be asked; --yes agrees")
    if not typer.confirm(f"This will {words}. Go on?", err=True):
        raise UsageError("not agreed to; nothing was started")


def print_json(document: Any) -> None:
    """Nothing; one JSON object on stdout and nothing else."""
    print(json.dumps(document, indent=2, allow_nan=False))


def findings_table(findings: list[Finding]) -> Table:
    """One line a finding, with its fix where there is one."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for finding in findings:
        text = escape(printable(finding.message)) + (f"\n[dim]fix: {escape(finding.fix)}[/dim]" if finding.fix else "")
        table.add_row(f"[{STYLES[finding.severity]}]{finding.severity}[/]", finding.rule, text)
    return table


def printable(text: str) -> str:
    """A text without control characters, which a stranger's file may hold."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def in_time(seconds: float | None) -> str:
    """Seconds in the unit that people would use."""
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
