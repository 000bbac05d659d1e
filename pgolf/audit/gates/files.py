"""Gates of the files that a submission must have."""

import os
from collections.abc import Iterator
from pathlib import Path

from pgolf.audit.facts import Facts
from pgolf.audit.stand_ins import REQUIRED, find_stand_in
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.findings import Severity
from pgolf.records.folder import is_inside
from pgolf.records.readme import NAME as README
from pgolf.records.submission_json import FILE as CLAIMS


def file_verdicts(facts: Facts, folder: Path) -> Iterator[Verdict]:
    """Yield the verdicts on the files of a folder. A file of another name is found and named."""
    yield check_files(facts, folder)
    if (problem := facts.problems.get("broken_submission_json")) and os.path.lexists(folder / CLAIMS):
        yield make_verdict("JSON-PARSES", facts.track.severity, problem.message, "files", CLAIMS)


def check_files(facts: Facts, folder: Path) -> Verdict:
    """Look for a README, a claims file and a script.

    An absent file, or one of another name, is a warning: organizers have accepted such folders. What has only the name
    of a required file, such as an empty file, is a failure.
    """
    absent, fake, renamed = [], [], []
    for name in REQUIRED:
        if is_whole(folder / name, folder):
            continue
        if (other := find_stand_in(name, folder)) is not None:
            renamed.append((name, other))
        elif os.path.lexists(folder / name):
            fake.append(f"{name} ({what_is_wrong(folder / name)})")
        else:
            absent.append(name)
    stated = [f"{other} stands for {name}" for name, other in renamed]
    if missing := [*fake, *absent]:
        severity: Severity = facts.track.severity if fake and facts.track.severity == "fail" else "warn"
        return make_verdict("FILES", severity, "; ".join([f"missing: {', '.join(missing)}", *stated]), "files")
    if renamed:
        is_same = all(README.fullmatch(other) for _, other in renamed)
        return make_verdict("FILES", "pass" if is_same else "warn", "; ".join(stated), "files")
    return make_verdict("FILES", "pass", f"{', '.join(REQUIRED)} are in the folder and not empty", "files")


def is_whole(path: Path, folder: Path) -> bool:
    """Return whether a path is a file of the folder and not empty."""
    return is_inside(path, folder) and path.stat().st_size > 0


def what_is_wrong(path: Path) -> str:
    """Return why a path that exists is not the file that its name says."""
    if path.is_file() and not path.is_symlink():
        return "an empty file"
    return "a link out of the folder or to nothing" if path.is_symlink() else "not a regular file"
