"""Damages copies of good folders, calls commands with them in this process, and collects what goes wrong."""

import io
import os
import random
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from pgolf.cli.app import app
from pgolf.errors import PgolfError
from tests.fuzz.mutations import copy_tree
from tests.fuzz.subjects import Call, Subject
from trainer.runtime.failure import RunFailure

LONGEST_SECONDS = 10
MOST_MEGABYTES = 500


class Hang(BaseException):
    """A call took too long."""


@dataclass
class Tally:
    """What came of one subject."""

    tried: int = 0
    failures: list[str] = field(default_factory=list)
    """Seed, damage and last lines of the traceback of each input that was not survived."""
    megabytes: float = 0.0
    """By which the process grew."""


def fuzz(subject: Subject, good: Path, place: Path, seeds: range) -> Tally:
    """Damage a subject once for each seed, and call one of its commands."""
    tally = Tally()
    place.mkdir(exist_ok=True)
    for folder in good.iterdir():
        copy_tree(folder, place / folder.name)
    with working_in(place):
        copy_tree(subject.folder, place / subject.name)
        for call in subject.calls:  # fills caches, so that only the damage takes time
            assert_good(call, subject, place)
        before = memory()
        for seed in seeds:
            chance = random.Random(seed)
            copy_tree(subject.folder, place / subject.name)
            damage, call = subject.damage(place / subject.name, chance), chance.choice(subject.calls)
            tally.tried += 1
            if (problem := problem_with(call, subject, place)) is not None:
                words = " ".join(call) if isinstance(call, tuple) else str(call)
                tally.failures.append(f"seed {seed}: {damage}; {words}: {problem}")
            shutil.rmtree(place / "out", ignore_errors=True)
        tally.megabytes = memory() - before
    return tally


def assert_good(call: Call, subject: Subject, place: Path) -> None:
    """Check that a call does its work where nothing is damaged."""
    problem = problem_with(call, subject, place, seconds=600)
    assert problem is None, problem
    shutil.rmtree(place / "out", ignore_errors=True)


def problem_with(call: Call, subject: Subject, place: Path, seconds: int = LONGEST_SECONDS) -> str | None:
    """Return what is wrong with the way in which a call ends; None if it does its work or refuses in its own words."""
    signal.signal(signal.SIGALRM, raise_hang)
    signal.alarm(seconds)
    try:
        answer = answer_of(call, place)
    except (PgolfError, RunFailure) as error:
        answer = None if not is_about_all(call) else f"refused: {error}"
    except OSError as error:  # the main function prints these as the machine's
        if not error.strerror or is_about_all(call):
            return describe(error)
        answer = None
    except Hang:
        return f"no end after {seconds} s"
    except BaseException as error:
        return describe(error)
    finally:
        signal.alarm(0)
    if is_about_all(call) and answer is not None and subject.survivor not in answer:
        return f"the other run is missing from the answer: {answer[:200]}"
    return None


def is_about_all(call: Call) -> bool:
    """Return whether a command shows several runs, so that one damaged one must not end it."""
    return isinstance(call, tuple) and (call[:2] == ("report", "runs") or call[0] == "status")


def answer_of(call: Call, place: Path) -> str | None:
    """Return what a command prints; None if a function was called, or the command ended with another code than 0."""
    if not isinstance(call, tuple):
        call(place)
        return None
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            app(call, prog_name="pgolf")
        except SystemExit as ended:
            if ended.code:
                return None
    out.seek(0)
    return out.read()


def describe(error: BaseException) -> str:
    """Return an error with the place that raised it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    own = [each for each in traceback.extract_tb(error.__traceback__) if "/site-packages/" not in each.filename]
    place = own[-1] if own else place
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {str(error)[:120]}"


def raise_hang(*_: object) -> NoReturn:
    raise Hang


def memory() -> float:
    """Return the most memory that this process has had. Units: MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in a folder while the context lasts."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        sys.stdout.flush()
