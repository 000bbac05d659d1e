"""The ledger of a search: what was proposed, refused, tried, kept and discarded, and why, in a file for people.

It is only ever added to, and is all that a search knows: another command goes on from it, and so does a person who
writes `- {what: proposed, point: {...}}` at its end.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pgolf.errors import MachineError, UsageError
from pgolf.specs.sweeps import Point
from pgolf.specs.yaml_documents import parse_yaml
from trainer.recipe.files import write_whole

HEAD = """\
# What `pgolf search` tried. The same command goes on from here. To have a point of your own tried next, add at the end:
# - {what: proposed, point: {recipe.optimizer.matrix_lr: 0.03}, by: me}
"""
EVENTS = ("begun", "proposed", "refused", "started", "tried", "stopped", "failed", "kept", "discarded")

# What each event has beside `what`, and of which kind it is where it is no text.
RUN = ("number", "rung", "seed", "run")
NEEDED = {
    "begun": ("spec", "spec_sha256"),
    "refused": ("number", "why"),
    "started": RUN,
    "tried": (*RUN, "val_bpb"),
    "stopped": (*RUN, "why"),
    "failed": (*RUN, "why"),
    "kept": ("number", "rung", "why"),
    "discarded": ("number", "why"),
}
KINDS: dict[str, Any] = {"number": int, "rung": int, "seed": int, "val_bpb": (int, float)}
# What a point may change: never where it runs, what it may cost, or by which rules it is judged.
POINTS = ("recipe.", "program.")


@dataclass(slots=True)
class Candidate:
    """A point, and what became of it."""

    number: int
    """From 1, in the order of the ledger."""
    point: Point
    by: str
    scores: dict[int, dict[int, float]] = field(default_factory=dict)
    """Bits per byte by rung and seed."""
    runs: dict[int, str] = field(default_factory=dict)
    """The run of the first seed, by rung."""
    ended: str | None = None
    """Why no more is made of it: refused, stopped or failed."""
    reached: int = 0
    """The rung that it is to go through."""


@dataclass(slots=True)
class Ledger:
    """The file, and what it says."""

    path: Path
    events: list[dict[str, Any]] = field(default_factory=list)

    def add(self, what: str, **facts: Any) -> None:
        """Nothing; the file has an event more.

        Raises: MachineError when it cannot be written.
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
            raise MachineError(f"{error.filename or self.path}: {error.strerror}") from error
        self.events.append(event)

    def refresh(self) -> None:
        """Nothing; what a person has added meanwhile is known, and counts in the order of the file.

        Raises: UsageError with the line of an entry that is none.
        """
        self.events = read_ledger(self.path).events

    def candidates(self) -> list[Candidate]:
        """All points with what became of them."""
        found: list[Candidate] = []
        for event in self.events:
            if event["what"] == "proposed":
                found.append(Candidate(len(found) + 1, event["point"], str(event.get("by", "a person"))))
            elif event["what"] not in ("begun", "discarded"):
                note(found[event["number"] - 1], event)
        return found

    def spent(self, unit: str) -> float:
        """Runs, seconds or dollars that were spent."""
        ended = [
            event
            for event in self.events
            if event["what"] in ("tried", "stopped", "failed") and not event.get("is_reused")
        ]
        return sum(1.0 if unit == "runs" else float(event.get(unit) or 0.0) for event in ended)


def note(candidate: Candidate, event: dict[str, Any]) -> None:
    """Nothing; the candidate knows what an event says of it."""
    match event["what"]:
        case "refused" | "stopped" | "failed":
            candidate.ended = f"{event['what']}: {event.get('why', '')}"
        case "kept":
            candidate.reached = max(candidate.reached, event["rung"])
        case "tried":
            candidate.scores.setdefault(event["rung"], {})[event["seed"]] = event["val_bpb"]
            candidate.runs.setdefault(event["rung"], event["run"])


def read_ledger(path: Path) -> Ledger:
    """The ledger in a file; an empty one where there is none.

    Raises: UsageError with the line of an entry that is none.
    """
    if not path.exists():
        return Ledger(path)
    document = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(document.value, list | None):
        raise UsageError(f"{path}: found no list of events; each begins with `- {{what: ...`")
    events: list[dict[str, Any]] = []
    for node in document.value or []:
        event, proposed = node.plain(), sum(each["what"] == "proposed" for each in events)
        if (wrong := what_is_wrong(event, proposed)) is not None:
            raise UsageError(f"{node.place}: {wrong}")
        events.append(event)
    return Ledger(path, events)


def what_is_wrong(event: Any, proposed: int) -> str | None:
    """Why something is no event after so many proposals; None where it is one."""
    if not isinstance(event, dict) or event.get("what") not in EVENTS:
        return f"no event; `what` is one of {', '.join(EVENTS)}"
    what = event["what"]
    if what == "proposed":
        point = event.get("point")
        if not isinstance(point, dict) or not point:
            return "what is proposed has a point, such as {recipe.optimizer.matrix_lr: 0.03}"
        foreign = [key for key in point if not str(key).startswith(POINTS)]
        return f"{foreign[0]} is no part of a point; only {' and '.join(POINTS)}* are" if foreign else None
    for key in NEEDED[what]:
        if not isinstance(event.get(key), KINDS.get(key, str)) or isinstance(event.get(key), bool):
            return f"what is {what} has {key}, found {event.get(key)!r}"
    number = event.get("number", 1)
    return None if what == "begun" or 1 <= number <= proposed else f"number {number} is no point proposed above it"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A context in which no other search works on a ledger.

    Raises: UsageError when one does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "search.lock").open("a")
    except OSError as error:
        raise MachineError(f"{error.filename or folder}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another search is at work in {folder}") from None
        yield
