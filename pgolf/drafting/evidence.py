"""Evidence: what a script and its log say, for the choice of components and the conversion of values."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from pgolf.drafting.pace import Pace
from pgolf.drafting.values import Hyperparameter

Recipe = Mapping[str, Any]
# A log whose training took at least this share of the script's seconds was ended by them.
ENDED = 0.97


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a script says about its components."""

    values: Mapping[str, Hyperparameter]
    """Its variables."""
    learned: Mapping[str, str]
    """Names of its model's tensors and of their classes in lower case, with their places; empty without model code."""
    is_complete: bool
    """Whether all of its model's tensors are known."""
    methods: Set[str]
    """Methods that its code names."""
    recipe: Recipe
    """The draft so far, by dotted key."""
    pace: Pace | None = None
    """How fast the script ran, from its log."""
    asked: set[str] = field(default_factory=set)
    """Variables that were looked at."""

    def variable(self, *names: str) -> Hyperparameter | None:
        """Return the first of these variables that the script reads."""
        found = next((self.values[name] for name in names if name in self.values), None)
        if found is not None:
            self.asked.add(found.name)
        return found

    def number(self, *names: str, default: int) -> int:
        """Return the first of these variables as a whole number."""
        found = self.variable(*names)
        return int(found.value) if found is not None and isinstance(found.value, float) else default

    def tensor(self, *words: str) -> Hyperparameter | None:
        """Return the first tensor whose name contains one of these words."""
        names = (name for word in words for name in self.learned if word in name)
        return next((Hyperparameter(name, "", self.learned[name]) for name in names), None)

    def absent(self, part: str, *words: str) -> Hyperparameter | None:
        """Return that the model's code has no tensor with these words; None if it has, or if that is not known."""
        if not self.learned or not self.is_complete or self.tensor(*words) is not None:
            return None
        return Hyperparameter(f"no {part}", "", "in the model's code")

    def unnamed(self, *methods: str) -> Hyperparameter | None:
        """Return that the code names none of these methods; None if it does, or there is no model's code."""
        if not self.learned or self.methods & set(methods):
            return None
        return Hyperparameter(f"no {' or '.join(methods)}", "", "in the model's code")

    @property
    def seconds(self) -> float | None:
        """The script's budget in seconds; None if it has none."""
        limit, reserve = self.values.get("MAX_WALLCLOCK_SECONDS"), self.values.get("GPTQ_RESERVE_SECONDS")
        if limit is None or limit.number is None or limit.number <= 0:
            return None
        return limit.number - (0.0 if reserve is None or reserve.number is None else reserve.number)

    def share_of_budget(self, share: float) -> float:
        """Return a share of the script's budget as a share of the draft's.

        Raises:
            ValueError: the script's is one of seconds, the draft's is not, and no log shows the pace to its end.
        """
        clock = self.recipe["recipe.budget.clock"]
        if self.seconds is None or clock == "seconds" or share in (0.0, 1.0):
            return share
        reason = f"{share:g} of the seconds, and recipe.budget counts {clock}"
        if self.pace is None:
            raise ValueError(f"{reason}: a log with the times of steps (--log FILE) shows at which step that is")
        if self.pace.last_seconds < ENDED * self.seconds:
            ends = f"{self.pace.last_seconds:,.0f} of {self.seconds:,.0f} s"
            raise ValueError(f"{reason}: the log ends after {ends}, so that the steps of the whole time are not known")
        return self.pace.share_of_steps(share)
