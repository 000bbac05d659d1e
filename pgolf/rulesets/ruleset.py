"""A contest's limits, data facts and baselines, read from YAML."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pgolf.errors import SpecError

FOLDER = Path(__file__).parent
DEFAULT_RULESET = "parameter_golf"
# In tokens; logged counts are multiples of 1,024 or 2,048.
LONGEST_WINDOW = 2048


class RulesetPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


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


Amount = Annotated[int, Field(strict=True, gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class LossTarget(RulesetPart):
    """A validation loss that training must reach, for contests of the fewest steps."""

    val_loss: float = Field(gt=0)
    """In nats per token of the contest's tokenizer."""
    steps: Amount | None = None
    """Most steps in which to reach it; None if nobody has set a number to beat."""
    margin: float = Field(default=0.0, ge=0)
    """Least (val_loss - mean of n seeds) * sqrt(n), in nats."""


class Limits(RulesetPart):
    """What a run may use. What is None is not limited."""

    bytes: Amount | None = None
    """Code plus compressed model; decimal, not binary, megabytes."""
    parameters: Amount | None = None
    train_tokens: Amount | None = None
    """Different tokens of training text; reading them again is free."""
    target: LossTarget | None = None
    train_seconds: Seconds | None = None
    evaluate_seconds: Seconds | None = None


class Fixed(RulesetPart):
    """What no run may change. What is None is free."""

    data: str | None = Field(default=None, min_length=1)
    """Name of the data folder."""
    parameters: Amount | None = None
    """Parameters of the contest's model, which show most changes of its architecture."""
    batch_tokens: Amount | None = None
    """Tokens of an optimizer step."""


# Keys of rulesets before 0.3, by the limit that they set.
LIMITS_BY_OLD_KEY = {
    "artifact_limit_bytes": "bytes", "train_seconds": "train_seconds", "evaluate_seconds": "evaluate_seconds",
}  # fmt: skip


class Ruleset(RulesetPart):
    """A contest's rules; every result names them and their version."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    version: int = Field(ge=0)
    limits: Limits
    fixed: Fixed = Fixed()
    hardware: str | None = None
    """The machine to which the time limits apply; None if any will do."""
    seeds: list[int] = [1337, 42, 2024]
    """Seeds used, in order, if more are requested than a spec lists."""
    validation_bytes: int | None = None
    """UTF-8 bytes of the validation text; None if nobody has stated them."""
    significance: Significance = Significance(margin_nats=0.0, strict_p=0.01, practice_p=0.05)
    data: dict[str, DataFacts] = {}
    """Facts by the name of the data folder."""
    refused_exports: list[RefusedExport] = []
    baselines: dict[str, BaselineRow] = {}

    @model_validator(mode="before")
    @classmethod
    def read_old_keys(cls, document: Any) -> Any:
        """Return a ruleset's document with its limits in `limits`, where files before 0.3 had them beside it."""
        if not isinstance(document, dict) or "limits" in document:
            return document
        limits = {key: document[old] for old, key in LIMITS_BY_OLD_KEY.items() if old in document}
        if not limits:
            return document
        return {key: value for key, value in document.items() if key not in LIMITS_BY_OLD_KEY} | {"limits": limits}

    @property
    def machine(self) -> str:
        """The machine to which the time limits apply, in words."""
        return self.hardware or "any machine"

    @property
    def fewest_validation_tokens(self) -> int:
        """Tokens of the whole validation text with the known tokenizer that makes the fewest; 0 if none is known."""
        return min((data.validation_tokens[0] for data in self.data.values()), default=0)

    @property
    def best_accepted_bpb(self) -> float | None:
        """The lowest score among the published results that were accepted."""
        return min((row.val_bpb for row in self.baselines.values()), default=None)

    @property
    def label(self) -> str:
        """Name and version, as in results and spec hashes."""
        return f"{self.name}-{self.version}"


def load_ruleset(name: str) -> Ruleset:
    """Return a shipped ruleset by name, or one from the user's YAML file, given as a path with a `/` or `.yaml`.

    Raises:
        SpecError: the name is unknown, or the file is wrong.
    """
    if "/" in name or name.endswith(".yaml"):
        if not Path(name).is_file():
            raise unknown_ruleset(name)
        return read_ruleset(Path(name))
    if name not in shipped_rulesets():
        raise unknown_ruleset(name)
    return read_shipped(name)


@cache
def shipped_rulesets() -> list[str]:
    """Return the names of the shipped rulesets, the contest's first."""
    names = {path.stem for path in FOLDER.glob("*.yaml")}
    return [DEFAULT_RULESET, *sorted(names - {DEFAULT_RULESET})]


def unknown_ruleset(name: str) -> SpecError:
    """Return the error for a name that is neither shipped nor a file."""
    return SpecError(
        f"ruleset {name!r} is unknown; expected {', '.join(shipped_rulesets())}, or the path of a YAML file like "
        f"{FOLDER / DEFAULT_RULESET}.yaml"
    )


@cache
def read_shipped(name: str) -> Ruleset:
    """Return a shipped ruleset."""
    return read_ruleset(FOLDER / f"{name}.yaml")


def read_ruleset(file: Path) -> Ruleset:
    """Return the ruleset in a file.

    Raises:
        SpecError: the file is wrong.
    """
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise SpecError(f"{file}: this is no text; expected YAML with name, version and limits") from None
    except (yaml.YAMLError, OSError) as error:
        raise SpecError(f"{file}: {error}") from error
    if not isinstance(document, dict):
        found = "nothing" if document is None else f"a {type(document).__name__}"
        raise SpecError(f"{file}: found {found}, expected a mapping with name, version and limits")
    try:
        return Ruleset.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SpecError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
