"""`pgolf report`: a table of finished runs and public records."""

import io
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pgolf.cli import options
from pgolf.cli.answer_files import write_answer
from pgolf.cli.display.console import answer_console, json_text, say
from pgolf.cli.display.explanation import print_explanation
from pgolf.cli.display.groups import print_groups
from pgolf.cli.display.leaderboard import counting_folders, print_leaderboard
from pgolf.errors import RunDamaged, UsageError
from pgolf.report.csv_table import csv_table, leaderboard_csv
from pgolf.report.leaderboard import Entry, leaderboard_markdown, rank
from pgolf.report.page.document import html_page
from pgolf.report.page.ranking import leaderboard_page
from pgolf.report.reading import baseline_at, groups_at, records_below
from pgolf.report.rows import Group
from pgolf.report.significance import assess_all, describe_significance
from pgolf.report.standings import read_standings
from pgolf.report.tables import markdown_table
from pgolf.rulesets.ruleset import Ruleset, load_ruleset

Versus = list[dict[str, Any] | None]
"""The test of each group against the baseline, or None."""


class Format(StrEnum):
    """Format of the answer."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    HTML = "html"


def report(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Run folders, folders of seeds, runs folders, or submission folders. Default: --runs-dir.",
        ),
    ] = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            help="Test each group against the group in this folder, for example runs/baseline-1a2b3c4d. "
            "Each side needs at least two seeds.",
        ),
    ] = None,
    is_explained: Annotated[
        bool, typer.Option("--explain", help="Print the file and line of each number, and what shows each problem.")
    ] = False,
    leaderboard: Annotated[
        Path | None,
        typer.Option(
            "--leaderboard",
            help="Rank every submission folder below this folder, for example records/track_10min_16mb.",
        ),
    ] = None,
    rules: Annotated[
        str, typer.Option("--ruleset", help="Judge public records by the limits of this ruleset.")
    ] = "parameter_golf",
    form: Annotated[Format, typer.Option("--format", help="Write the answer in this format.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option("--out", help="Write the answer to this file instead of stdout.")] = None,
    is_json: options.Json = False,
) -> None:
    """Show every seed, and for each group mean, sample deviation, 95 % interval, largest artifact and verdict.

    A run with a damaged file is a row that says which. Exit code 1 if such a run is a PATH itself.
    """
    ruleset = load_ruleset(rules)
    form = Format.JSON if is_json else form
    if leaderboard is not None:
        write(render_leaderboard(read_leaderboard(leaderboard, ruleset), form), out)
        return
    if not paths and not runs_dir.exists():
        say(f"there are no runs in {runs_dir}; start one with `pgolf run quickstart`")
    groups = groups_at(paths or ([runs_dir] if runs_dir.exists() else []), ruleset)
    against = None if baseline is None else baseline_at(baseline, ruleset)
    versus: Versus = [None] * len(groups) if against is None else assess_all(groups, against, ruleset.significance, say)
    if form is Format.JSON:
        write(json_text(report_json(groups, versus)), out)
    elif form is Format.TABLE and out is None:
        print_report(groups, versus, is_explained, answer_console())
    else:
        write(render(groups, versus, is_explained, form), out)
    check_named_runs(paths or [], groups)


def read_leaderboard(folder: Path, ruleset: Ruleset) -> list[Entry]:
    """Return the ranking of the submission folders below a folder, with a progress bar while they are read.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"--leaderboard {folder}: no such folder; expected a folder that contains submission folders")
    folders = records_below(folder)
    with counting_folders(len(folders)) as progress:
        return rank(read_standings(folders, ruleset, progress))


def check_named_runs(paths: Sequence[Path], groups: Sequence[Group]) -> None:
    """Check that no path is itself a damaged run: whoever names a run wants its numbers.

    Raises:
        RunDamaged: one is; gives the reason.
    """
    named = {path.resolve() for path in paths}
    for group in groups:
        for run in group.as_json().get("damaged", ()):
            if Path(run["run_dir"]).resolve() in named:
                raise RunDamaged(run["reason"])


def tested_groups(groups: Sequence[Group], versus: Versus) -> list[tuple[str, dict[str, Any]]]:
    """Return name and test of each group that was tested."""
    return [(group.name, facts) for group, facts in zip(groups, versus, strict=True) if facts is not None]


def print_report(groups: Sequence[Group], versus: Versus, is_explained: bool, console: Console) -> None:
    """Print the table, the tests against the baseline and, on request, where each number was read."""
    if not groups:
        return
    print_groups(groups, console)
    for name, facts in tested_groups(groups, versus):
        for line in describe_significance(name, facts):
            console.print(line, markup=False)
    if is_explained:
        for group in groups:
            print_explanation(group, console)


def report_json(groups: Sequence[Group], versus: Versus) -> dict[str, object]:
    """Return the object of --json."""
    return {"groups": [group.as_json() | {"versus": facts} for group, facts in zip(groups, versus, strict=True)]}


def render(groups: Sequence[Group], versus: Versus, is_explained: bool, form: Format) -> str:
    """Return the groups in a format."""
    match form:
        case Format.CSV:
            return csv_table(groups, versus)
        case Format.HTML:
            return html_page(groups, tested_groups(groups, versus))
        case Format.MARKDOWN:
            tests = [
                line for name, facts in tested_groups(groups, versus) for line in describe_significance(name, facts)
            ]
            return markdown_table(groups) + "".join(f"\n{line}\n" for line in tests)
        case _:
            text = io.StringIO()
            print_report(groups, versus, is_explained, answer_console(text))
            return text.getvalue()


def render_leaderboard(entries: list[Entry], form: Format) -> str:
    """Return the ranking in a format."""
    match form:
        case Format.JSON:
            return json_text({"leaderboard": [entry.as_json() for entry in entries]})
        case Format.CSV:
            return leaderboard_csv(entries)
        case Format.HTML:
            return leaderboard_page(entries)
        case Format.MARKDOWN:
            return leaderboard_markdown(entries)
        case Format.TABLE:
            text = io.StringIO()
            print_leaderboard(entries, answer_console(text))
            return text.getvalue()


def write(text: str, out: Path | None) -> None:
    """Write the text to a file, or to stdout."""
    if out is None:
        typer.echo(text, nl=False)
        return
    write_answer(out, text)
    say(f"wrote {out}")
