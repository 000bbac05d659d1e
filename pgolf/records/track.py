"""Which track a submission is on: the one with limits on time and seeds, or one without."""

import re
from collections.abc import Iterable

UNTIMED = re.compile(r"(?<![a-z])(?:non[-_ ]?record|unlimited|untimed|no[-_ ]time[-_ ]limit)", re.IGNORECASE)
TIMED = re.compile(r"(?<!\d)(?:10|ten)[-_ ]?min", re.IGNORECASE)


def is_timed_track(places: Iterable[str]) -> bool:
    """Return whether the limits on time, hardware and seeds hold.

    They hold where no place says otherwise.

    Args:
        places: What may name the track, the most telling first: its key in submission.json, the folder, its parent.
    """
    for words in places:
        if UNTIMED.search(words):
            return False
        if TIMED.search(words):
            return True
    return True
