"""Where new points come from: an optimizer that learns from the ledger, or a program of the user's own."""

import json
import shlex
import subprocess
from collections.abc import Sequence
from math import ceil, floor, prod
from typing import TYPE_CHECKING, Any, Protocol

from pgolf.errors import PgolfError, SpecError, UsageError
from pgolf.searching.ledger import Candidate, Ledger
from pgolf.searching.promotion import score_at
from pgolf.specs.search import Search
from pgolf.specs.sweeps import Point, Range
from pgolf.specs.yaml_documents import parse_yaml

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# What a proposal may change: never where it runs, what it may cost, or by which rules it is judged.
CHANGEABLE = ("recipe.", "program.env.")
PATIENCE_SECONDS = 600.0
# Keeps the seeds of further attempts apart from those of further points.
ATTEMPTS = 100_003


class Proposer(Protocol):
    """A source of points."""

    name: str

    def propose(self, search: Search, ledger: Ledger, attempt: int = 0) -> Point:
        """A point to try next. Of the same ledger another attempt may give another point.

        Raises: PgolfError when there is none.
        """
        ...


class OptimizerProposer:
    """Optuna's tree-structured Parzen estimator, which is told the ledger anew each time: the ledger is all it knows,
    and the same ledger has the same next point.
    """

    name = "optuna"

    def propose(self, search: Search, ledger: Ledger, attempt: int = 0) -> Point:
        import optuna
        from optuna.trial import create_trial

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        candidates = ledger.candidates()
        seed = search.seed + len(candidates) + ATTEMPTS * attempt
        sampler = optuna.samplers.TPESampler(n_startup_trials=search.startup, seed=seed)
        study = optuna.create_study(sampler=sampler)
        space = {key: distribution_of(source) for key, source in search.values.items()}
        for candidate in candidates:
            params = {key: as_choice(source, candidate.point.get(key)) for key, source in search.values.items()}
            score = score_at(search, candidate, 0)
            if score is not None and all(fits(space[key], value) for key, value in params.items()):
                study.add_trial(create_trial(params=params, distributions=space, value=score))
        found = study.ask(space).params
        return {key: from_choice(search.values[key], found[key]) for key in search.values}


def distribution_of(source: Range | list[Any]) -> "BaseDistribution":
    """The optimizer's word for a range, or for a list."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(source, list):
        return CategoricalDistribution([json.dumps(choice) for choice in source])
    if source.whole:
        return IntDistribution(ceil(source.low), floor(source.high), log=source.log)
    return FloatDistribution(source.low, source.high, log=source.log)


def as_choice(source: Range | list[Any], value: Any) -> Any:
    """A value as the optimizer has it."""
    return json.dumps(value) if isinstance(source, list) else value


def from_choice(source: Range | list[Any], found: Any) -> Any:
    """The optimizer's value as a spec has it, with no more digits than anybody would write."""
    if isinstance(source, list):
        return json.loads(found)
    return found if source.whole else float(f"{found:.6g}")


def fits(distribution: "BaseDistribution", value: Any) -> bool:
    """Whether a value, which a person may have proposed, is one of a distribution's."""
    from optuna.distributions import CategoricalDistribution

    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and distribution.low <= value <= distribution.high  # type: ignore[attr-defined]


class CommandProposer:
    """A program: the ledger and the space go in as JSON, a point or an overlay comes out as YAML."""

    def __init__(self, command: str) -> None:
        self.words = shlex.split(command)
        if not self.words:
            raise UsageError("--propose: found nothing, expected a command")
        self.name = self.words[0]

    def propose(self, search: Search, ledger: Ledger, attempt: int = 0) -> Point:
        asked = json.dumps({"space": search.model_dump(mode="json")["values"], "ledger": ledger.events})
        try:
            ended = subprocess.run(
                self.words, input=asked, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
            )
        except OSError as error:
            raise UsageError(f"--propose {self.name}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise PgolfError(f"--propose {self.name}: no answer in {PATIENCE_SECONDS:.0f} s") from None
        if ended.returncode:
            said = ended.stderr.strip().splitlines()[-1:] or ["nothing"]
            raise PgolfError(f"--propose {self.name}: it ended with code {ended.returncode}; its last words: {said[0]}")
        return point_of(ended.stdout, f"--propose {self.name}")


def point_of(text: str, place: str) -> Point:
    """The point that a YAML text gives, by dotted keys or as an overlay.

    Raises: SpecError for anything else, and for keys that no proposal may change.
    """
    document = parse_yaml(text, place).plain()
    if not isinstance(document, dict) or not document:
        raise SpecError(f"{place}: found {type(document).__name__}, expected a YAML mapping of what to change")
    point = dict(leaves("", document))
    foreign = [key for key in point if not key.startswith(CHANGEABLE)]
    if foreign:
        raise SpecError(f"{place}: {foreign[0]} may not be proposed; only {' and '.join(CHANGEABLE)}*")
    return point


def leaves(prefix: str, value: Any) -> list[tuple[str, Any]]:
    """Values by dotted key. A mapping that names a kind is one value, for it replaces a component."""
    if not isinstance(value, dict) or not value or ("kind" in value and prefix):
        return [(prefix, value)]
    return [leaf for key, each in value.items() for leaf in leaves(f"{prefix}.{key}" if prefix else str(key), each)]


def size_of(search: Search) -> float:
    """How many points a space has."""
    return prod(map(count_of, search.values.values()))


def count_of(source: Range | list[Any]) -> float:
    """How many values there are to choose from."""
    if isinstance(source, list):
        return len(source)
    return floor(source.high) - ceil(source.low) + 1 if source.whole else float("inf")


def is_known(point: Point, candidates: Sequence[Candidate]) -> bool:
    """Whether a point has been proposed before."""
    return any(candidate.point == point for candidate in candidates)
