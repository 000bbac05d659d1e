"""A contest's limits and facts."""

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pgolf.errors import SpecError


class RulesetPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DataFacts(RulesetPart):
    """What is known of a published data set."""

    vocabulary_size: int
    validation_tokens: int


class BaselineRow(RulesetPart):
    """A published result to compare with."""

    val_bpb: float
    total_bytes: int
    source: str


class Ruleset(RulesetPart):
    """Limits of a contest; versioned, and named in every result."""

    name: str
    version: int
    artifact_limit_bytes: int
    """Code plus compressed model, decimal."""
    train_seconds: float
    evaluate_seconds: float
    hardware: str
    """What the seconds are seconds of."""
    seeds: list[int]
    """Used, in order, when more seeds are asked for than a spec lists."""
    validation_bytes: int
    data: dict[str, DataFacts]
    """By the name of the data folder."""
    baselines: dict[str, BaselineRow]

    @property
    def label(self) -> str:
        """Name and version, as they stand in results and identities."""
        return f"{self.name}-{self.version}"


@cache
def load_ruleset(name: str) -> Ruleset:
    """The ruleset of a name.

    Raises: SpecError naming those there are.
    """
    folder = Path(__file__).parent
    file = folder / f"{name}.yaml"
    if file.parent != folder or not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise SpecError(f"ruleset {name!r} is unknown; there is {known}")
    try:
        return Ruleset.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise SpecError(f"{file}: {error}") from error
