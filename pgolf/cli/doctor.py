"""`pgolf doctor`: check this machine, or the one that a spec runs on, before a run costs anything."""

import os

from platformdirs import user_cache_path, user_config_path

from pgolf.cli import options
from pgolf.cli.display.console import agree_to_pay, answer_console, findings_table, print_json, say
from pgolf.errors import CheckFailed, PgolfError
from pgolf.findings import Finding, failures
from pgolf.launching import check_options, load_launcher
from pgolf.preflight.cost import OWN_PRICES, read_prices, usd_per_hour
from pgolf.preflight.examine import examine
from pgolf.specs.parts import Launch

TYPICAL_SECONDS = 60


def doctor(
    spec: options.SpecArgument = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    is_json: options.Json = False,
    is_agreed: options.Yes = False,
) -> None:
    """Check Python, torch, devices, kernels, compiler, disk, credentials and clock; print a fix for each problem."""
    launch, found = Launch(on=on or "local"), []
    if spec is not None or assignments or overlays:
        chosen = options.select_spec(spec or options.DEFAULT_SPEC, options.DEFAULT_RUNS_DIR, overlays, assignments, on)
        launch = chosen.spec.launch
        preflight = examine(chosen.spec, runs_dir=options.DEFAULT_RUNS_DIR, on_progress=say)
        found += [finding for finding in preflight.findings if finding.rule in ("data", "script_data")]
    launcher = load_launcher(launch.on)
    check_options(launcher, launch.options)
    agree_to_small_cost(launch, is_agreed)
    if launch.on == "local":
        found += check_pgolf()
    try:
        found += launcher.examine(launch.gpu, launch.options)
    except PgolfError as error:
        found.append(Finding("fail", launch.on, str(error)))
    if is_json:
        print_json({"on": launch.on, "gpu": launch.gpu, "checks": [finding.as_json() for finding in found]})
    else:
        answer_console().print(findings_table(found))
    if failed := failures(found):
        raise CheckFailed(f"doctor failed on {launch.on}: {', '.join(finding.rule for finding in failed)}")


def agree_to_small_cost(launch: Launch, is_agreed: bool) -> None:
    """Ask the user to agree to the cost of the check, if there is one."""
    hourly = usd_per_hour(launch)
    if not hourly:
        return
    say(f"{launch.on} {launch.gpu or 'without GPU'}: ${hourly:.2f} per hour, for about {TYPICAL_SECONDS} s")
    if not is_agreed:
        agree_to_pay(hourly * TYPICAL_SECONDS / 3600)


def check_pgolf() -> list[Finding]:
    """Return findings about pgolf itself: its cache and its prices."""
    cache, own = user_cache_path("pgolf"), user_config_path("pgolf") / OWN_PRICES
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    is_writable = os.access(existing, os.W_OK)
    data = Finding(
        "pass" if is_writable else "fail",
        "cache",
        f"{cache} {'is' if is_writable else 'is not'} writable; it caches prepared data",
        None if is_writable else "set XDG_CACHE_HOME to another folder",
    )
    dates = "; ".join(f"{name} {prices.as_of}" for name, prices in read_prices().providers.items())
    return [data, Finding("pass", "prices", f"{dates}; override them in {own}")]
