"""`pgolf seeds`: several seeds of one spec, as one row."""

from typing import Annotated

import typer

from pgolf.cli import options
from pgolf.cli.running import Manner, answer, detach, prepare_dispatch, watch
from pgolf.errors import UsageError
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.specs.experiment import Experiment


def seeds(
    spec: options.SpecArgument = None,
    n: Annotated[int, typer.Option("--n", min=1, help="How many seeds the group is to have.")] = 3,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_detached: options.Detach = False,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and stop.")] = False,
    is_agreed: options.Yes = False,
    is_json: options.Json = False,
) -> None:
    """Run the seeds of a spec that are missing, then show all of them with mean, spread and verdict."""
    manner = Manner(
        runs_dir=runs_dir, is_detached=is_detached, is_fresh=False, is_dry=is_dry, is_agreed=is_agreed, is_json=is_json
    )  # fmt: skip
    loaded = options.select_any(spec, runs_dir, overlays, assignments, on)
    chosen = choose_seeds(loaded.spec, n)
    dispatch = prepare_dispatch(loaded, manner, chosen)
    directories = [dispatch.directory(seed) for seed in chosen]
    if is_dry:
        for directory in directories:
            typer.echo(f"{'is finished' if directory.is_finished else 'would run'}: {directory.root}", err=True)
        return
    ended = detach(dispatch, chosen) if is_detached else watch(dispatch, chosen, is_quiet=is_json)
    answer(ended, [directories[0].root.parent], manner)


def choose_seeds(spec: Experiment, n: int) -> list[int]:
    """The first n seeds: those of the spec, then those of its ruleset.

    Raises: UsageError when both together are fewer.
    """
    known = list(dict.fromkeys([*spec.seeds, *load_ruleset(spec.ruleset).seeds]))
    if n > len(known):
        raise UsageError(f"--n {n}: spec and ruleset list {len(known)} seeds; add more to the spec's `seeds:`")
    return known[:n]
