"""`pgolf submission`: a records folder from finished runs."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from pgolf.bundle.submission import Author, collect_seeds, write_submission
from pgolf.cli import options
from pgolf.cli.completion import complete_run
from pgolf.cli.display.console import answer_console, say
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import find_run
from pgolf.specs.loading import load_spec


def submission(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN", help="Finished runs of one experiment, a seed each.", autocompletion=complete_run
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="The folder to write: a new or an empty one, or one whose writing was interrupted."),
    ],
    author: Annotated[str, typer.Option("--author", help="Your name.")] = "",
    github_id: Annotated[str, typer.Option("--github-id", help="Your GitHub user name.")] = "",
    name: Annotated[str | None, typer.Option("--name", help="Title. Default: the experiment's name.")] = None,
    blurb: Annotated[str, typer.Option("--blurb", help="What is new, in one sentence.")] = "",
    track: Annotated[str, typer.Option("--track", help="10min_16mb or non-record-16mb.")] = "non-record-16mb",
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
) -> None:
    """Write a records folder: README, submission.json, logs, train_gpt.py and the artifacts."""
    rows = collect_seeds([find_run(run, runs_dir) for run in runs])
    spec = load_spec(rows[0].run.files.spec).require_recipe().spec
    title = name or rows[0].result["name"]
    who = Author(author=author, github_id=github_id, name=title, blurb=blurb, track=track, day=date.today())
    if not write_submission(rows, spec, load_ruleset(spec.ruleset), who, out):
        say(f"{out} already holds this submission; nothing was changed")
    console = answer_console()
    for path in sorted(out.iterdir()):
        console.print(f"{path.stat().st_size:>12,}  {path}", highlight=False)
