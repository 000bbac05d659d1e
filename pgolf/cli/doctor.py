"""`pgolf doctor`: check this machine, or the one that a spec runs on, before a run costs anything."""

from typing import Annotated

import typer

from pgolf.campaign.doctor import TYPICAL_SECONDS, check_data, check_machine, doctor_usd, load_checked
from pgolf.cli import options
from pgolf.cli.completion import complete_spec
from pgolf.cli.display.console import agree_to_pay, answer_console, findings_table, print_json, say
from pgolf.cli.display.progress import MessageObserver
from pgolf.errors import CheckFailed
from pgolf.findings import failures
from pgolf.specs.parts import Launch


def doctor(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC",
            help="A YAML file, or the name of a shipped experiment: check its launcher, options and data too. "
            f"Default: no spec, or {options.DEFAULT_SPEC} if --set or --with is given.",
            autocompletion=complete_spec,
        ),
    ] = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_json: options.Json = False,
    is_agreed: options.Yes = False,
) -> None:
    """Check Python, torch, devices, kernels, compiler, disk, credentials and clock; print a fix for each problem."""
    chosen = None
    if spec is not None or assignments or overlays:
        chosen = options.select_spec(spec or options.DEFAULT_SPEC, runs_dir, overlays, assignments, on).spec
    launch = Launch(on=on or "local") if chosen is None else chosen.launch
    launcher = load_checked(launch)
    if usd := doctor_usd(launch):
        hourly = f"${usd * 3600 / TYPICAL_SECONDS:.2f} per hour, for about {TYPICAL_SECONDS} s"
        say(f"{launch.on} {launch.gpu or 'without GPU'}: {hourly}")
        if not is_agreed:
            agree_to_pay(usd)
    found = [] if chosen is None else check_data(chosen, runs_dir, MessageObserver())
    found += check_machine(launch, launcher)
    if is_json:
        print_json({"on": launch.on, "gpu": launch.gpu, "checks": [finding.as_json() for finding in found]})
    else:
        answer_console().print(findings_table(found))
    if failed := failures(found):
        raise CheckFailed(f"doctor failed on {launch.on}: {', '.join(finding.rule for finding in failed)}")
