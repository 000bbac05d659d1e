"""A contest's limits, data facts and baselines, read from YAML."""

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pgolf.errors import SpecError

# In tokens; logged counts are multiples of 1,024 or 2,048.
LONGEST_WINDOW = 2048


class RulesetPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class DataFacts(RulesetPart):
    """Facts about a published data set."""

    vocabulary_size: int
    validation_tokens: tuple[int, int]
    """Fewest and most tokens that its validation shards may have; a range because logs count whole windows only."""

    def has_tokens(self, tokens: int) -> bool:
        """Return whether validation shards with this many tokens may be the data set's."""
        least, most = self.validation_tokens
        return least <= tokens <= most


class RefusedExport(RulesetPart):
    """A published export that must not be trained or scored on."""

    name: str
    explanation: str
    """What is wrong with it, and what to do."""
    validation_tokens: int
    """Number of tokens in whole windows; the shards may have up to a window more."""
    validation_bytes: int | None
    """Bytes of its validation text, if they identify it."""
    train_shards: list[int]
    """Numbers of training shards that identify it."""

    def has_tokens(self, tokens: int) -> bool:
        """Return whether validation shards with this many tokens are the export's."""
        return self.validation_tokens <= tokens <= self.validation_tokens + LONGEST_WINDOW


class BaselineRow(RulesetPart):
    """A published result to compare with."""

    val_bpb: float
    total_bytes: int
    source: str


class Significance(RulesetPart):
    """When a mean score counts as better than a baseline."""

    margin_nats: float
    """Margin of the strict rule, in nats per token."""
    strict_p: float
    """Largest one-sided p against the baseline shifted by the margin."""
    practice_p: float
    """Largest one-sided p without the margin, as the organisers applied it in practice."""


class Ruleset(RulesetPart):
    """A contest's rules; every result names them and their version."""

    name: str
    version: int
    artifact_limit_bytes: int
    """Limit of code plus compressed model; decimal, not binary, megabytes."""
    train_seconds: float
    evaluate_seconds: float
    hardware: str
    """The machine to which the time limits apply."""
    seeds: list[int]
    """Seeds used, in order, if more are requested than a spec lists."""
    validation_bytes: int
    significance: Significance
    data: dict[str, DataFacts]
    """Facts by the name of the data folder."""
    refused_exports: list[RefusedExport]
    baselines: dict[str, BaselineRow]

    @property
    def best_accepted_bpb(self) -> float | None:
        """The lowest score among the published results that were accepted."""
        return min((row.val_bpb for row in self.baselines.values()), default=None)

    @property
    def label(self) -> str:
        """Name and version, as in results and spec hashes."""
        return f"{self.name}-{self.version}"


@cache
def load_ruleset(name: str) -> Ruleset:
    """Return a shipped ruleset by name, or one from the user's YAML file, given as a path with a `/` or `.yaml`.

    Raises:
        SpecError: the name is unknown, or the file is wrong.
    """
    folder = Path(__file__).parent
    is_own = "/" in name or name.endswith(".yaml")
    file = Path(name) if is_own else folder / f"{name}.yaml"
    if not file.is_file() or (not is_own and file.parent != folder):
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise SpecError(
            f"ruleset {name!r} is unknown; expected {known}, or the path of a YAML file like {folder}/{known}.yaml"
        )
    try:
        return Ruleset.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SpecError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (yaml.YAMLError, OSError) as error:
        raise SpecError(f"{file}: {error}") from error
