"""The track of a submission, which decides which rules hold for it."""

import re
from enum import Enum
from pathlib import Path

from pgolf.findings import Severity
from pgolf.records.claims import Claims
from pgolf.rulesets.ruleset import Ruleset

CONTEST = "parameter_golf"
NON_RECORD = re.compile(r"(?<![a-z])non[-_ ]?record", re.IGNORECASE)
UNLIMITED = re.compile(r"non[-_ ]?record|unlimited|untimed|no[-_ ]time[-_ ]limit", re.IGNORECASE)
TEN_MINUTES = re.compile(r"10[-_ ]?min|(?<![a-z])record(?![a-z])", re.IGNORECASE)
UNLIMITED_FOLDER = re.compile(r"(?:track[-_])?(?:non[-_ ]?record|unlimited)", re.IGNORECASE)
TEN_MINUTE_FOLDER = re.compile(r"track[-_]10[-_]?min", re.IGNORECASE)


class Track(Enum):
    """The rules on time, hardware, seeds and logs hold on the 10-minute track only; the artifact's limit on all."""

    TEN_MINUTES = "10min_16mb"
    UNLIMITED = "non_record_16mb"
    OWN = "own ruleset"
    """That of a ruleset which is not Parameter Golf's: its limits hold."""
    UNKNOWN = "unknown"
    """No file and no folder names it."""

    @property
    def severity(self) -> Severity:
        """How a broken rule of the 10-minute track counts; `unknown` where the rule does not hold."""
        if self is Track.UNLIMITED:
            return "unknown"
        return "warn" if self is Track.UNKNOWN else "fail"

    @property
    def has_limits(self) -> bool:
        """Return whether the rules of the 10-minute track hold, or may hold."""
        return self is not Track.UNLIMITED


def track_of(claims: Claims, folder: Path, ruleset: Ruleset) -> Track:
    """Return the track that submission.json, the README's title, the folder or its parents name.

    Non-record wins wherever it is named: reviewers move a submission to that track without changing its files.
    """
    path = folder.resolve()
    parents = [parent.name for parent in path.parents[:2]]
    is_unlimited = (
        claims.says_non_record
        or UNLIMITED.search(claims.track)
        or any(NON_RECORD.search(text) for text in (claims.name, claims.title, path.name))
        or any(map(UNLIMITED_FOLDER.match, parents))
    )
    if is_unlimited:
        return Track.UNLIMITED
    if ruleset.name != CONTEST:
        return Track.OWN
    names_ten_minutes = TEN_MINUTES.search(claims.track) or any(map(TEN_MINUTE_FOLDER.match, (path.name, *parents)))
    return Track.TEN_MINUTES if names_ten_minutes else Track.UNKNOWN
