"""What the refusals of a hub mean, and which of them may pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep
from typing import TypeVar, cast

from pgolf.errors import DataError

TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}
WAITS_SECONDS = (0.5, 1.0, 2.0, 4.0)
# The hub's windows of rate limiting last five minutes.
LONGEST_WAIT_SECONDS = 300.0
Answer = TypeVar("Answer")


class TryAgain(Exception):
    """A failure that may pass."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Retries:
    """How often to try again, and how long to wait before it."""

    def __init__(self, place: str, on_line: Callable[[str], None]) -> None:
        self.place = place
        self.on_line = on_line
        self.renew()

    def renew(self) -> None:
        """Nothing; there was progress, and all tries are left."""
        self.waits = iter(WAITS_SECONDS)

    def wait(self, reason: TryAgain) -> None:
        """Nothing; the time before the next try is over.

        Raises: DataError when no try is left.
        """
        seconds = next(self.waits, None)
        if seconds is None:
            raise DataError(
                f"{self.place}: {reason}, {len(WAITS_SECONDS) + 1} times. What has arrived is kept; run the same "
                "command again when the hub can be reached"
            )
        seconds = min(max(seconds, reason.wait_seconds), LONGEST_WAIT_SECONDS)
        self.on_line(f"{self.place}: {reason}; trying again in {seconds:g} s")
        sleep(seconds)

    def call(self, action: Callable[[], Answer]) -> Answer:
        """What the action gives, at the first try that does not fail.

        Raises: DataError when it is refused or no try is left.
        """
        while True:
            try:
                with hub_errors(self.place):
                    return action()
            except TryAgain as reason:
                self.wait(reason)


@contextmanager
def hub_errors(place: str) -> Iterator[None]:
    """Nothing; errors of huggingface_hub leave the block as errors of pgolf.

    Raises: TryAgain for what may pass, DataError naming the place for what will not.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in TRANSIENT_STATUSES:
            after = str(error.response.headers.get("Retry-After", ""))
            raise TryAgain(f"the hub answered {status}", float(after) if after.isdigit() else 0.0) from error
        raise DataError(f"{place}: {explain_refusal(error, status)}") from error
    except OfflineModeIsEnabled as error:
        raise DataError(f"{place}: huggingface_hub is in offline mode; unset HF_HUB_OFFLINE and try again") from error
    except transport_error() as error:
        raise TryAgain(f"no answer ({type(error).__name__}: {error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{place}: the answer is not a hub's ({type(error).__name__}: {str(error)[:80]}). Check --endpoint, or "
            "whether a proxy or a login page answers in its stead"
        ) from error


def transport_error() -> type[Exception]:
    """What the hub's HTTP client raises when no answer comes: httpx's under huggingface_hub 1, httpx2's under 2."""
    from huggingface_hub.errors import HfHubHTTPError

    return cast("type[Exception]", HfHubHTTPError.__bases__[0])


def explain_refusal(error: Exception, status: int) -> str:
    """What a refusal most likely comes from, and what to do about it."""
    from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return f"gated ({status}). Accept its conditions on its page, `hf auth login`, and run the same command again"
    if isinstance(error, DisabledRepoError):
        return f"the hub has disabled this repository ({status}); --from OWNER/REPO names another one"
    if isinstance(error, RevisionNotFoundError):
        return f"the revision is gone ({status}); run the same command again to take the newest"
    match status:
        case 401:
            return (
                "not readable without a login (401). The hub says so of misspelt names too: check OWNER/REPO; if it is "
                "private, `hf auth login`"
            )
        case 403:
            return "forbidden (403). The token of `hf auth login` has no right to read it"
        case 404:
            return "not found (404). Check the spelling, or name another repository with --from OWNER/REPO"
    return f"the hub refused it ({status}): {str(error).splitlines()[0][:120]}"
