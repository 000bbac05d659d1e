"""What `pgolf doctor` checks: pgolf itself, the machine that a launcher runs on, and a spec's data."""

import os
from pathlib import Path

from platformdirs import user_cache_path, user_config_path

from pgolf.campaign.observer import Observer
from pgolf.errors import PgolfError
from pgolf.findings import Finding
from pgolf.launching import Launcher, check_options, load_launcher
from pgolf.preflight.cost import OWN_PRICES, read_prices, usd_per_hour
from pgolf.preflight.examine import examine
from pgolf.specs.experiment import Experiment
from pgolf.specs.parts import Launch

TYPICAL_SECONDS = 60
DATA_RULES = ("data", "script_data")


def load_checked(launch: Launch) -> Launcher:
    """Return the launcher of a spec.

    Raises:
        LauncherError: it is not installed, or an option of it is wrong.
    """
    launcher = load_launcher(launch.on)
    check_options(launcher, launch.options)
    return launcher


def doctor_usd(launch: Launch) -> float:
    """Return the dollars that the check of a machine costs; 0 where nothing is rented."""
    return (usd_per_hour(launch) or 0.0) * TYPICAL_SECONDS / 3600


def check_data(spec: Experiment, runs_dir: Path, observer: Observer) -> list[Finding]:
    """Return the findings about the data of a spec."""
    found = examine(spec, runs_dir=runs_dir, on_progress=observer.say).findings
    return [finding for finding in found if finding.rule in DATA_RULES]


def check_machine(launch: Launch, launcher: Launcher) -> list[Finding]:
    """Return the findings about the machine that a launcher runs on; about pgolf too, if it is this one."""
    found = check_pgolf() if launch.on == "local" else []
    try:
        return found + launcher.doctor(launch.gpu, launch.options)
    except PgolfError as error:
        return [*found, Finding("fail", launch.on, str(error))]


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
