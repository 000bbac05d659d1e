"""`pgolf seeds`: several seeds of one spec, as one row."""

from typing import Annotated

import typer

from pgolf.cli import options
from pgolf.cli.planning import Manner, plan_runs, show_plans
from pgolf.cli.running import start
from pgolf.errors import UsageError
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.specs.experiment import Experiment
from pgolf.specs.script import ScriptSpec


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
    loaded = options.select_specs(None if spec is None else [spec], runs_dir, overlays, assignments, on)
    plans = plan_runs(loaded, lambda spec: choose_seeds(spec, n), manner)
    show_plans(plans, is_json) if is_dry else start(plans, manner)


def choose_seeds(spec: Experiment, n: int) -> list[int]:
    """The first n seeds: those of the spec, then those of its ruleset.

    Raises: UsageError when both together are fewer.
    """
    if isinstance(spec, ScriptSpec) and spec.program.seed_variable is None and n > 1:
        raise UsageError(f"--n {n}: program.seed_variable is null, so all runs of {spec.name} would be the same one")
    known = list(dict.fromkeys([*spec.seeds, *load_ruleset(spec.ruleset).seeds]))
    if n > len(known):
        raise UsageError(f"--n {n}: spec and ruleset list {len(known)} seeds; add more to the spec's `seeds:`")
    return known[:n]
