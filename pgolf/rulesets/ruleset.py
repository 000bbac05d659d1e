"""A contest's limits and facts."""

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pgolf.errors import SpecError

# Tokens; logged counts are multiples of 1,024 or 2,048.
LONGEST_WINDOW = 2048


class RulesetPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DataFacts(RulesetPart):
    """What is known of a published data set."""

    vocabulary_size: int
    validation_tokens: tuple[int, int]
    """Least and most tokens that its validation shards may hold: logs tell what was scored, whole windows only."""

    def has_tokens(self, tokens: int) -> bool:
        """Whether validation shards with so many tokens may be its own."""
        least, most = self.validation_tokens
        return least <= tokens <= most


class RefusedExport(RulesetPart):
    """An export in circulation that must not be trained or scored on."""

    name: str
    explanation: str
    """What is wrong with it, and what to do."""
    validation_tokens: int
    """As scored in whole windows; the shards hold up to a window more."""
    validation_bytes: int | None
    """Of text, where that tells it apart."""
    train_shards: list[int]
    """Numbers of training shards that only it has."""

    def has_tokens(self, tokens: int) -> bool:
        """Whether validation shards with so many tokens are its own."""
        return self.validation_tokens <= tokens <= self.validation_tokens + LONGEST_WINDOW


class BaselineRow(RulesetPart):
    """A published result to compare with."""

    val_bpb: float
    total_bytes: int
    source: str


class Significance(RulesetPart):
    """When a mean counts as better."""

    margin_nats: float
    """By which the strict rule wants the mean to be better, nats a token."""
    strict_p: float
    """One-sided, against the baseline shifted by the margin."""
    practice_p: float
    """One-sided, without the margin: what organisers went by."""


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
    significance: Significance
    data: dict[str, DataFacts]
    """By the name of the data folder."""
    refused_exports: list[RefusedExport]
    baselines: dict[str, BaselineRow]

    @property
    def best_accepted_bpb(self) -> float | None:
        """The lowest score among the published results that stood."""
        return min((row.val_bpb for row in self.baselines.values()), default=None)

    @property
    def label(self) -> str:
        """Name and version, as they stand in results and identities."""
        return f"{self.name}-{self.version}"


@cache
def load_ruleset(name: str) -> Ruleset:
    """The ruleset of a name, or of a YAML file of one's own: a path with a `/` or `.yaml`.

    Raises: SpecError naming those there are, or what is wrong with the file.
    """
    folder = Path(__file__).parent
    is_own = "/" in name or name.endswith(".yaml")
    file = Path(name) if is_own else folder / f"{name}.yaml"
    if not file.is_file() or (not is_own and file.parent != folder):
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise SpecError(
            f"ruleset {name!r} is unknown; there is {known}, or give a YAML file like {folder}/{known}.yaml"
        )
    try:
        return Ruleset.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError, OSError) as error:
        raise SpecError(f"{file}: {error}") from error
