"""The ledger of a search: a YAML file of what was proposed, refused, tried, kept and discarded, and why.

It is only appended to, and holds the whole state of a search: the same command continues from it, and a person can
add `- {what: proposed, point: {...}}` at its end.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pgolf.errors import MachineError, UsageError
from pgolf.specs.search import POINT_PREFIXES
from pgolf.specs.sweeps import Point
from pgolf.specs.yaml_documents import parse_yaml
from trainer.recipe.locks import LockHeld, hold_lock
from trainer.recipe.reading import read_bytes
from trainer.recipe.writing import write_whole

HEAD = """\
# What `pgolf search` tried. The same command continues from here. To have a point of your own tried next, append:
# - {what: proposed, point: {recipe.optimizer.matrix_lr: 0.03}, by: me}
"""
EVENTS = ("begun", "proposed", "refused", "started", "tried", "stopped", "failed", "kept", "discarded")

# The keys that each event needs besides `what`.
RUN_KEYS = ("number", "rung", "seed", "run")
REQUIRED_KEYS = {
    "begun": ("spec", "spec_sha256"),
    "refused": ("number", "why"),
    "started": RUN_KEYS,
    "tried": (*RUN_KEYS, "val_bpb"),
    "stopped": (*RUN_KEYS, "why"),
    "failed": (*RUN_KEYS, "why"),
    "kept": ("number", "rung", "why"),
    "discarded": ("number", "why"),
}
# Types of the keys that are not text.
KEY_TYPES: dict[str, Any] = {"number": int, "rung": int, "seed": int, "val_bpb": (int, float)}


@dataclass(slots=True)
class Candidate:
    """A point and its results."""

    number: int
    """Counted from 1, in the order of the ledger."""
    point: Point
    by: str
    scores: dict[int, dict[int, float]] = field(default_factory=dict)
    """Bits per byte by rung and seed."""
    runs: dict[int, str] = field(default_factory=dict)
    """The run of the first seed, by rung."""
    ended: str | None = None
    """Why it is not run any more: refused, stopped or failed."""
    reached: int = 0
    """The rung that it must complete next."""


@dataclass(slots=True)
class Ledger:
    """The file and its events."""

    path: Path
    events: list[dict[str, Any]] = field(default_factory=list)

    def add(self, what: str, **facts: Any) -> None:
        """Append an event to the file.

        Raises:
            MachineError: the file cannot be written.
        """
        assert what in EVENTS, what
        self.refresh()
        event = {"what": what, **{key: fact for key, fact in facts.items() if fact is not None}}
        line = yaml.safe_dump([event], default_flow_style=None, sort_keys=False, width=10_000, allow_unicode=True)
        before = self.path.read_text(encoding="utf-8") if self.path.exists() else HEAD
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, (before.rstrip("\n") + "\n" + line).encode())
        except OSError as error:
            raise MachineError.from_os_error(error, self.path) from error
        self.events.append(event)

    def refresh(self) -> None:
        """Read the file again, for entries that a person has added since.

        Raises:
            UsageError: an entry is not an event; names its line.
        """
        self.events = read_ledger(self.path).events

    def candidates(self) -> list[Candidate]:
        """Return all points with their results."""
        found: list[Candidate] = []
        for event in self.events:
            if event["what"] == "proposed":
                found.append(Candidate(len(found) + 1, event["point"], str(event.get("by", "a person"))))
            elif event["what"] not in ("begun", "discarded"):
                apply_event(found[event["number"] - 1], event)
        return found

    def spent(self, unit: str) -> float:
        """Return the runs, seconds or dollars spent so far."""
        ended = [
            event
            for event in self.events
            if event["what"] in ("tried", "stopped", "failed") and not event.get("is_reused")
        ]
        return sum(1.0 if unit == "runs" else float(event.get(unit) or 0.0) for event in ended)


def apply_event(candidate: Candidate, event: dict[str, Any]) -> None:
    """Update a candidate by an event about it."""
    match event["what"]:
        case "refused" | "stopped" | "failed":
            candidate.ended = f"{event['what']}: {event.get('why', '')}"
        case "kept":
            candidate.reached = max(candidate.reached, event["rung"])
        case "tried":
            candidate.scores.setdefault(event["rung"], {})[event["seed"]] = event["val_bpb"]
            candidate.runs.setdefault(event["rung"], event["run"])


def read_ledger(path: Path) -> Ledger:
    """Read a ledger; an empty one if there is no file.

    Raises:
        UsageError: an entry is not an event; names its line.
    """
    if not path.exists():
        return Ledger(path)
    try:
        text = read_bytes(path).decode()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    document = parse_yaml(text, str(path))
    if not isinstance(document.value, list | None):
        raise UsageError(f"{path}: expected a list of events, each beginning with `- {{what: ...`")
    events: list[dict[str, Any]] = []
    for node in document.value or []:
        event, proposed = node.plain(), sum(each["what"] == "proposed" for each in events)
        if (wrong := problem_with(event, proposed)) is not None:
            raise UsageError(f"{node.place}: {wrong}")
        events.append(event)
    return Ledger(path, events)


def problem_with(event: Any, proposed: int) -> str | None:
    """Return what is wrong with an event that follows so many proposals; None if nothing is."""
    if not isinstance(event, dict) or event.get("what") not in EVENTS:
        return f"not an event; `what` is one of {', '.join(EVENTS)}"
    what = event["what"]
    if what == "proposed":
        point = event.get("point")
        if not isinstance(point, dict) or not point:
            return "a proposed event needs a point, such as {recipe.optimizer.matrix_lr: 0.03}"
        foreign = [key for key in point if not str(key).startswith(POINT_PREFIXES)]
        allowed = " and ".join(f"{prefix}*" for prefix in POINT_PREFIXES)
        return f"{foreign[0]} cannot be part of a point; only {allowed} can" if foreign else None
    for key in REQUIRED_KEYS[what]:
        if not isinstance(event.get(key), KEY_TYPES.get(key, str)) or isinstance(event.get(key), bool):
            return f"a {what} event needs {key}, found {event.get(key)!r}"
    number = event.get("number", 1)
    return None if what == "begun" or 1 <= number <= proposed else f"number {number} is not a point proposed above it"


@contextmanager
def lock_search(folder: Path, on_note: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock of a search folder. `on_note` gets a sentence for people where the file system has no flock.

    Raises:
        UsageError: another search holds it.
        MachineError: the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold_lock(folder / "search.lock", on_note))
        except LockHeld as error:
            raise UsageError(f"another search is running in {folder}: {error.strerror}") from None
        except OSError as error:
            raise MachineError.from_os_error(error, folder) from error
        yield
