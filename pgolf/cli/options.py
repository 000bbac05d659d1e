"""Options that several commands share, and what they select."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgolf.cli.console import say
from pgolf.rundir import newest_run

if TYPE_CHECKING:
    from pgolf.specs.loading import Loaded, Recipes

SPEC_DEFAULT = "Default: that of the newest run, else quickstart."
SpecArgument = Annotated[
    str | None,
    typer.Argument(metavar="SPEC", help=f"A YAML file, or the name of a shipped experiment. {SPEC_DEFAULT}"),
]
SpecArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="SPEC", help=f"YAML files or names of shipped experiments. {SPEC_DEFAULT}"),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run folder, a run id or a part of one.")]
RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Folder of all runs.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one value, for example recipe.budget.train=100."),
]
Overlays = Annotated[
    list[str] | None,
    typer.Option("--with", metavar="NAME|FILE", help="Apply an overlay of the spec (tiny, micro) or of a file."),
]
On = Annotated[str | None, typer.Option("--on", help="Launcher, in place of launch.on.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Detach = Annotated[bool, typer.Option("--detach", help="Return once the run has started.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start another attempt beside the earlier ones.")]
DEFAULT_RUNS_DIR = Path("runs")
DEFAULT_SPEC = "quickstart"


def select_spec(
    reference: str | None,
    runs_dir: Path,
    overlays: list[str] | None,
    assignments: list[str] | None,
    on: str | None = None,
) -> "Recipes":
    """The spec of a recipe that the arguments mean. Says which, where the user did not.

    Raises: SpecError with file:line, also for a spec of a script.
    """
    from pgolf.specs.loading import with_recipe

    return with_recipe(select_any(reference, runs_dir, overlays, assignments, on))


def select_any(
    reference: str | None,
    runs_dir: Path,
    overlays: list[str] | None,
    assignments: list[str] | None,
    on: str | None = None,
) -> "Loaded":
    """The spec that the arguments mean, be it of a recipe or of a script. Says which, where the user did not.

    Raises: SpecError with file:line, also for a sweep.
    """
    from pgolf.specs.loading import the_only

    return the_only(select_all(reference, runs_dir, overlays, assignments, on))


def select_all(
    reference: str | None,
    runs_dir: Path,
    overlays: list[str] | None,
    assignments: list[str] | None,
    on: str | None = None,
) -> "list[Loaded]":
    """The spec that the arguments mean, or one a point where they sweep. Says which, where the user did not.

    Raises: SpecError with file:line.
    """
    # Imported here: commands that only look at runs need nothing of what it takes to read a spec.
    from pgolf.specs.loading import load_all, load_all_of_run

    extra = [*(assignments or []), *([f"launch.on={on}"] if on else [])]
    if reference is not None:
        return load_all(reference, overlays or [], extra)
    newest = newest_run(runs_dir)
    if newest is None:
        say(f"no spec given and no run in {runs_dir}: {DEFAULT_SPEC}")
        return load_all(DEFAULT_SPEC, overlays or [], extra)
    say(f"no spec given: that of the newest run, {newest.run_id}")
    return load_all_of_run(newest.files.spec, overlays or [], extra)


def select_specs(
    references: list[str] | None,
    runs_dir: Path,
    overlays: list[str] | None,
    assignments: list[str] | None,
    on: str | None = None,
) -> "list[Loaded]":
    """The specs that the arguments mean, every point of a sweep among them; one where the user named none.

    Raises: SpecError with file:line.
    """
    chosen: list[str | None] = [*references] if references else [None]
    return [each for reference in chosen for each in select_all(reference, runs_dir, overlays, assignments, on)]
