"""What commands that run strangers' code ask about its confinement, and say about it."""

from pgolf.cli.display.console import say
from pgolf.confinement.run import CONFINED, UNCONFINED, Confinement, Level


def levels_for(is_unconfined: bool) -> tuple[Level, ...]:
    """Return the levels of confinement to try."""
    return UNCONFINED if is_unconfined else CONFINED


def say_confinement(confinement: Confinement | None) -> None:
    """Say on stderr what confined the code that was run."""
    if confinement is None:
        return
    if confinement.level == "none":
        say("the code ran unconfined, with all your rights")
    else:
        say(f"the code ran confined by {confinement.level}: no network, one folder to write to (SECURITY.md)")
