"""Options that several commands share, and the specs that they select."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgolf.cli import completion
from pgolf.cli.display.console import say
from pgolf.rundir import newest_run

if TYPE_CHECKING:
    from pgolf.specs.loading import LoadedSpec

SPEC_DEFAULT = "Default: the spec of the newest run, else quickstart."
SpecArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="SPEC",
        help=f"A YAML file, or the name of a shipped experiment. {SPEC_DEFAULT}",
        autocompletion=completion.complete_spec,
    ),
]
SpecArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SPEC",
        help=f"YAML files or names of shipped experiments. {SPEC_DEFAULT}",
        autocompletion=completion.complete_spec,
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run folder, a run id, or an unambiguous part of one.",
        autocompletion=completion.complete_run,
    ),
]
Unconfined = Annotated[
    bool,
    typer.Option(
        "--unconfined",
        help="Run that code with all your rights, on a machine that cannot confine it. Read it first (SECURITY.md).",
    ),
]
RunsDir = Annotated[Path, typer.Option("--runs-dir", metavar="DIR", help="Folder that holds all runs.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a value, for example --set recipe.budget.train=100. For run, seeds and preflight, several values "
        "make a sweep, as in --set recipe.optimizer.matrix_lr=0.02,0.03.",
        autocompletion=completion.complete_key,
    ),
]
Overlays = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="NAME|FILE",
        help="Apply an overlay: one of the spec's own, as in --with tiny, or a YAML file, as in --with mine.yaml.",
        autocompletion=completion.complete_overlay,
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="NAME",
        help="Use this launcher instead of launch.on, for example --on modal.",
        autocompletion=completion.complete_launcher,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before spending money.")]
Detach = Annotated[bool, typer.Option("--detach", help="Return as soon as the run has started.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start a new attempt; keep earlier ones.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would run, and start nothing.")]

DEFAULT_RUNS_DIR, DEFAULT_SPEC = completion.DEFAULT_RUNS_DIR, completion.DEFAULT_SPEC


def with_launcher(assignments: list[str] | None, on: str | None) -> list[str]:
    """Return the assignments, with the launcher of --on among them."""
    return [*(assignments or []), *([f"launch.on={on}"] if on else [])]


def select_spec(
    reference: str | None,
    runs_dir: Path,
    overlays: list[str] | None = None,
    assignments: list[str] | None = None,
    on: str | None = None,
) -> "LoadedSpec":
    """Return the spec that the arguments name; print which, if the user named none.

    Raises:
        SpecError: the spec is wrong, at file:line; or it is a sweep.
    """
    from pgolf.specs.loading import load_spec

    return load_spec(chosen_reference(reference, runs_dir), overlays or [], with_launcher(assignments, on))


def select_specs(
    references: list[str] | None,
    runs_dir: Path,
    overlays: list[str] | None = None,
    assignments: list[str] | None = None,
    on: str | None = None,
) -> "list[LoadedSpec]":
    """Return the specs that the arguments name, one for each point of a sweep; one spec if the user named none.

    Raises:
        SpecError: a spec is wrong, at file:line.
    """
    from pgolf.specs.loading import load_specs

    chosen: list[str | None] = [*references] if references else [None]
    extra = with_launcher(assignments, on)
    return [
        loaded
        for reference in chosen
        for loaded in load_specs(chosen_reference(reference, runs_dir), overlays or [], extra)
    ]


def chosen_reference(reference: str | None, runs_dir: Path) -> str | Path:
    """Return what the user named, else the spec of the newest run, else the default; say which of these two."""
    if reference is not None:
        return reference
    newest = newest_run(runs_dir)
    if newest is None:
        say(f"no spec given and no run in {runs_dir}: using {DEFAULT_SPEC}")
        return DEFAULT_SPEC
    say(f"no spec given: using that of the newest run, {newest.run_id}")
    return newest.files.spec
