"""What the names of logs say of the set that they belong to."""

import re

from trainer.dialects.logged import LoggedRun


def log_set_name(run: LoggedRun) -> tuple[str, ...]:
    """Return what the logs of a set share: the words of their paths without the seed."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", run.file.lower()) if word]
    return tuple(
        word for word in words if word not in ("seed", str(run.seed)) and not re.fullmatch(r"(?:seed|s)\d+", word)
    )


def set_words(run: LoggedRun) -> tuple[str, ...]:
    """Return the words of a log's path that have no digit."""
    return tuple(word for word in log_set_name(run) if word.isalpha())
