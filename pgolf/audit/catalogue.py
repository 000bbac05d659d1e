"""The rules that an audit checks: what each requires, how grave it is, who set it, and what would settle a dispute."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

Gravity = Literal["fatal", "major", "minor"]


class Rule(BaseModel):
    """One rule of the contest."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    gravity: Gravity
    authority: Literal["organizer", "community", "measured"]
    sources: tuple[str, ...]
    """Threads of openai/parameter-golf, or its README."""
    asks: str
    """What holds if the rule is kept."""
    settles: str
    """What would decide it where the evidence at hand does not."""


@cache
def load_catalogue() -> dict[str, Rule]:
    """Return the rules by their ids, in the order in which they are shown."""
    document = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {name: Rule.model_validate(rule) for name, rule in document.items()}
