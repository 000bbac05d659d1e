"""The specs that are installed with pgolf."""

from pathlib import Path

import pgolf

# Beside the package both in a checkout and in site-packages.
SHIPPED = Path(pgolf.__file__).parent.parent / "experiments"


def shipped_specs() -> dict[str, Path]:
    """Return the files of the shipped experiments by name; overlays and bases are no experiments."""
    files = (file for file in sorted(SHIPPED.rglob("*.yaml")) if file.parent.name not in ("overlays", "bases"))
    return {file.stem: file for file in files}
