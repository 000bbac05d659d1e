"""Where new points come from: an optimizer that learns from the ledger, or a program of the user's own."""

import json
import shlex
import subprocess
from collections.abc import Sequence
from math import ceil, floor, prod
from typing import TYPE_CHECKING, Any, Protocol

from pgolf.errors import PgolfError, SpecError, UsageError
from pgolf.search.halving import score_at
from pgolf.search.ledger import Candidate, Ledger
from pgolf.specs.search import PROPOSAL_PREFIXES, Search
from pgolf.specs.sweeps import Point, Range
from pgolf.specs.yaml_documents import parse_yaml

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

PROPOSAL_SECONDS = 600.0
# Keeps the random seeds of repeated attempts apart from those of later points.
ATTEMPT_STRIDE = 100_003


class Proposer(Protocol):
    """A source of points."""

    name: str
    is_within_space: bool
    """Whether all its points are points of the search space; else it may change other keys too."""

    def propose(self, search: Search, ledger: Ledger, attempt: int = 0) -> Point:
        """Return a point to try next. Another attempt on the same ledger may return another point.

        Raises:
            PgolfError: there is none.
        """
        ...


class OptimizerProposer:
    """Optuna's tree-structured Parzen estimator, rebuilt from the ledger each time.

    It has no other state, so the same ledger gives the same next point.
    """

    name = "optuna"
    is_within_space = True

    def propose(self, search: Search, ledger: Ledger, attempt: int = 0) -> Point:
        import optuna
        from optuna.trial import create_trial

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        candidates = ledger.candidates()
        seed = search.seed + len(candidates) + ATTEMPT_STRIDE * attempt
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
    """Return Optuna's distribution for a range or a list."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(source, list):
        return CategoricalDistribution([json.dumps(choice) for choice in source])
    if source.whole:
        return IntDistribution(ceil(source.low), floor(source.high), log=source.log)
    return FloatDistribution(source.low, source.high, log=source.log)


def as_choice(source: Range | list[Any], value: Any) -> Any:
    """Return a value in Optuna's form."""
    return json.dumps(value) if isinstance(source, list) else value


def from_choice(source: Range | list[Any], found: Any) -> Any:
    """Return Optuna's value in a spec's form, floats with six significant digits."""
    if isinstance(source, list):
        return json.loads(found)
    return found if source.whole else float(f"{found:.6g}")


def fits(distribution: "BaseDistribution", value: Any) -> bool:
    """Return whether a value, which a person may have proposed, lies in a distribution."""
    from optuna.distributions import CategoricalDistribution

    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and distribution.low <= value <= distribution.high  # type: ignore[attr-defined]


class CommandProposer:
    """A program that reads ledger and space as JSON on stdin and prints a point, or an overlay, as YAML."""

    is_within_space = False

    def __init__(self, command: str) -> None:
        self.words = shlex.split(command)
        if not self.words:
            raise UsageError("--propose: found nothing, expected a command")
        self.name = self.words[0]

    def propose(self, search: Search, ledger: Ledger, attempt: int = 0) -> Point:
        request = json.dumps({"space": search.model_dump(mode="json")["values"], "ledger": ledger.events})
        try:
            ended = subprocess.run(
                self.words, input=request, capture_output=True, text=True, timeout=PROPOSAL_SECONDS, check=False
            )
        except OSError as error:
            raise UsageError(f"--propose {self.name}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise PgolfError(f"--propose {self.name}: no answer in {PROPOSAL_SECONDS:.0f} s") from None
        if ended.returncode:
            last = ended.stderr.strip().splitlines()[-1:] or ["nothing"]
            raise PgolfError(
                f"--propose {self.name}: it ended with code {ended.returncode}; last line of stderr: {last[0]}"
            )
        return point_of(ended.stdout, f"--propose {self.name}")


def point_of(text: str, place: str) -> Point:
    """Return the point that a YAML text describes, by dotted keys or as an overlay.

    Raises:
        SpecError: it is something else, or changes a key that a proposal may not change.
    """
    document = parse_yaml(text, place).plain()
    if not isinstance(document, dict) or not document:
        raise SpecError(f"{place}: found {type(document).__name__}, expected a YAML mapping of what to change")
    point = dict(leaves("", document))
    foreign = [key for key in point if not key.startswith(PROPOSAL_PREFIXES)]
    if foreign:
        allowed = " and ".join(f"{prefix}*" for prefix in PROPOSAL_PREFIXES)
        raise SpecError(f"{place}: {foreign[0]} may not be proposed; only {allowed}")
    return point


def leaves(prefix: str, value: Any) -> list[tuple[str, Any]]:
    """Return values by dotted key. A mapping with a `kind` is one value, because it replaces a whole component."""
    if not isinstance(value, dict) or not value or ("kind" in value and prefix):
        return [(prefix, value)]
    return [leaf for key, each in value.items() for leaf in leaves(f"{prefix}.{key}" if prefix else str(key), each)]


def size_of(search: Search) -> float:
    """Return the number of points in a space."""
    return prod(map(count_of, search.values.values()))


def count_of(source: Range | list[Any]) -> float:
    """Return the number of values of one key."""
    if isinstance(source, list):
        return len(source)
    return floor(source.high) - ceil(source.low) + 1 if source.whole else float("inf")


def is_known(point: Point, candidates: Sequence[Candidate]) -> bool:
    """Return whether a point has been proposed before."""
    return any(candidate.point == point for candidate in candidates)
