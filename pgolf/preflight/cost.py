"""Cost of runs, from a dated table of prices that the user can override."""

from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pgolf.errors import UsageError
from pgolf.findings import Finding
from pgolf.preflight.duration import DurationEstimate
from pgolf.preflight.rules import spend
from pgolf.specs.experiment import Experiment
from pgolf.specs.parts import Launch

PRICES = Path(__file__).with_name("prices.yaml")
OWN_PRICES = "prices.yaml"
# Rented time besides training and scoring: starting the container, imports, reading the data, packing.
OVERHEAD_SECONDS = 120.0
CORES_PER_GPU = 4
UNKNOWN_DURATION = DurationEstimate(None, None, "not known")

Price = Annotated[float, Field(ge=0)]


class ProviderPrices(BaseModel):
    """Prices of a provider."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    as_of: str
    """Date and source of the prices."""
    gpu_hour: dict[str, Price]
    """Dollars per hour for one GPU, by its name without `!`."""
    core_hour: Price = 0.0
    """Dollars per hour for a physical core."""
    gib_hour: Price = 0.0
    """Dollars per hour for a GiB of memory."""
    region_times: Annotated[float, Field(ge=1)] = 1.0
    """Largest factor on all prices if launch.options.region is set."""


class Prices(BaseModel):
    """Prices by launcher."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    providers: dict[str, ProviderPrices]


@cache
def read_prices() -> Prices:
    """Return the shipped prices; a provider in the user's own file replaces the shipped one.

    Raises:
        UsageError: the user's file is not a table of prices.
    """
    document = yaml.safe_load(PRICES.read_text(encoding="utf-8"))
    own = user_config_path("pgolf") / OWN_PRICES
    if own.exists():
        try:
            document["providers"] |= Prices.model_validate(
                yaml.safe_load(own.read_text(encoding="utf-8"))
            ).model_dump()["providers"]
        except (yaml.YAMLError, ValidationError) as error:
            raise UsageError(f"{own} is not a table of prices like {PRICES}: {error}") from None
    return Prices.model_validate(document)


def is_rented(launch: Launch) -> bool:
    """Return whether the launcher rents machines from a provider in the table."""
    return launch.on in read_prices().providers


def usd_per_hour(launch: Launch) -> float | None:
    """Return dollars per hour of one run; None if no price is known, 0 for this machine."""
    if launch.on == "local":
        return 0.0
    stated = launch.options.get("usd_per_hour")
    if isinstance(stated, int | float):
        return float(stated)
    provider = read_prices().providers.get(launch.on)
    return None if provider is None else provider_usd_per_hour(provider, launch)


def provider_usd_per_hour(provider: ProviderPrices, launch: Launch) -> float | None:
    """Return dollars per hour by a provider's table; None if the GPU is not in it."""
    kind = None if launch.gpus is None else launch.gpus.kind
    if kind is not None and kind not in provider.gpu_hour:
        return None
    gpus = 0.0 if kind is None else provider.gpu_hour[kind] * launch.devices
    cores = number_or(launch.options.get("cores"), CORES_PER_GPU * launch.devices if launch.gpu else launch.processes)
    hourly = gpus + cores * provider.core_hour + number_or(launch.options.get("memory_gib"), 0) * provider.gib_hour
    return hourly * (provider.region_times if launch.options.get("region") else 1.0)


def number_or(value: object, default: float) -> float:
    """Return a number from the options, or the default."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float(default)


def estimate_usd(launch: Launch, duration: DurationEstimate, runs: int) -> float | None:
    """Return dollars for `runs` runs; None if the price or the duration is not known."""
    hourly, seconds = usd_per_hour(launch), duration.total_seconds
    if not hourly:
        return hourly
    overhead = OVERHEAD_SECONDS if is_rented(launch) else 0.0
    return None if seconds is None else runs * hourly * (seconds + overhead) / 3600


def spend_of(spec: Experiment, duration: DurationEstimate | None, runs: int) -> tuple[float | None, Finding]:
    """Return dollars for `runs` runs, and the finding about the spending cap."""
    usd = estimate_usd(spec.launch, duration or UNKNOWN_DURATION, runs)
    has_price, is_own = usd_per_hour(spec.launch) is not None, not is_rented(spec.launch)
    return usd, spend(usd, spec.spend.usd, has_price=has_price, is_own=is_own)


def affordable_seconds(usd: float | None, launch: Launch, runs: int) -> float | None:
    """Return the seconds that each of `runs` runs can take before all cost more than `usd`; None without a limit."""
    hourly = usd_per_hour(launch)
    return None if usd is None or not hourly else 3600 * usd / (hourly * runs)
