"""`pgolf report`: finished runs in one table."""

import io
import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pgolf.cli import options
from pgolf.cli.display.console import answer_console, say
from pgolf.cli.display.groups import print_groups
from pgolf.errors import MachineError, UsageError
from pgolf.report.leaderboard import Entry, leaderboard_csv, leaderboard_markdown, ranked
from pgolf.report.page.document import html_page
from pgolf.report.reading import baseline_at, groups_at
from pgolf.report.rows import Group
from pgolf.report.significance import compare, versus_lines
from pgolf.report.tables import csv_table, markdown_table
from pgolf.rulesets.ruleset import Ruleset, load_ruleset

Versus = list[dict[str, Any] | None]
"""A comparison for each group, or None."""


class Format(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    HTML = "html"


def report(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Runs, groups of seeds, runs folders, or public submission folders."),
    ] = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="A group or record that each group is tested against.")
    ] = None,
    is_explained: Annotated[bool, typer.Option("--explain", help="Say which line each number came from.")] = False,
    leaderboard: Annotated[
        Path | None, typer.Option("--leaderboard", help="Rank every submission folder below this one.")
    ] = None,
    rules: Annotated[
        str, typer.Option("--ruleset", help="The contest whose limits apply to records.")
    ] = "parameter_golf",
    form: Annotated[Format, typer.Option("--format", help="How the answer is written.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option("--out", help="A file for the answer, in place of stdout.")] = None,
    is_json: options.Json = False,
) -> None:
    """Show every seed, then mean, sample standard deviation, 95 % interval, largest artifact and verdict."""
    ruleset = load_ruleset(rules)
    form = Format.JSON if is_json else form
    if leaderboard is not None:
        if not leaderboard.is_dir():
            raise UsageError(f"{leaderboard}: no such folder; expected one with submission folders below it")
        write(render_leaderboard(ranked(leaderboard, ruleset), form), out)
        return
    if not paths and not runs_dir.exists():
        say(f"no run in {runs_dir}; `pgolf run quickstart` makes one")
    groups = groups_at(paths or ([runs_dir] if runs_dir.exists() else []), ruleset)
    against = None if baseline is None else baseline_at(baseline, ruleset)
    versus: Versus = [None] * len(groups) if against is None else compare_all(groups, against, ruleset)
    if form is Format.JSON:
        document = json.dumps(report_json(groups, versus), indent=2, allow_nan=False) + "\n"
        write(document, out)
    elif form is Format.TABLE and out is None:
        show(groups, versus, is_explained, answer_console())
    else:
        write(render(groups, versus, is_explained, form), out)


def compare_all(groups: Sequence[Group], baseline: Group, ruleset: Ruleset) -> Versus:
    """What each group is against the baseline; None for one that cannot be compared."""
    found: Versus = []
    for group in groups:
        if min(len(group.rows), len(baseline.rows)) < 2:
            say(
                f"{group.name} has {len(group.rows)} seeds, {baseline.name} {len(baseline.rows)}; a test needs two each"
            )
            found.append(None)
        else:
            found.append(compare(group, baseline, ruleset.significance))
    return found


def compared(groups: Sequence[Group], versus: Versus) -> list[tuple[str, dict[str, Any]]]:
    """Groups by name, with their comparison, those that have one."""
    return [(group.name, facts) for group, facts in zip(groups, versus, strict=True) if facts is not None]


def show(groups: Sequence[Group], versus: Versus, is_explained: bool, console: Console) -> None:
    """Nothing; the table, and below it what was asked for besides."""
    if not groups:
        return
    print_groups(groups, console)
    for name, facts in compared(groups, versus):
        for line in versus_lines(name, facts):
            console.print(line, markup=False)
    if is_explained:
        for group in groups:
            for row in group.rows:
                sources = ", ".join(f"{what} from {where}" for what, where in row.explain().items() if where)
                console.print(f"{group.name} seed {row.seed}: {sources}", markup=False)


def report_json(groups: Sequence[Group], versus: Versus) -> dict[str, object]:
    """The object of --json."""
    return {"groups": [group.as_json() | {"versus": facts} for group, facts in zip(groups, versus, strict=True)]}


def render(groups: Sequence[Group], versus: Versus, is_explained: bool, form: Format) -> str:
    """The groups as text of a format."""
    match form:
        case Format.CSV:
            return csv_table(groups)
        case Format.HTML:
            return html_page(groups, compared(groups, versus))
        case Format.MARKDOWN:
            tests = [line for name, facts in compared(groups, versus) for line in versus_lines(name, facts)]
            return markdown_table(groups) + "".join(f"\n{line}\n" for line in tests)
        case _:
            console = Console(file=io.StringIO(), width=200, highlight=False)
            show(groups, versus, is_explained, console)
            return str(console.file.getvalue())  # type: ignore[attr-defined]


def render_leaderboard(entries: list[Entry], form: Format) -> str:
    """The ranking as text of a format; as a page, its groups in the order of the ranking."""
    match form:
        case Format.JSON:
            return json.dumps({"leaderboard": [entry.as_json() for entry in entries]}, indent=2) + "\n"
        case Format.CSV:
            return leaderboard_csv(entries)
        case Format.HTML:
            return html_page([entry.group for entry in entries])
        case _:
            return leaderboard_markdown(entries)


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
