"""Dollars."""

# By launcher. Launchers that rent machines bring their prices.
USD_AN_HOUR = {"local": 0.0}


def estimate_usd(launcher: str, seconds: float | None, runs: int) -> float | None:
    """Dollars of `runs` runs, or None where no price is known. This machine costs nothing."""
    hourly = USD_AN_HOUR.get(launcher)
    if hourly is None or seconds is None:
        return hourly
    return runs * hourly * seconds / 3600
