"""Explains errors of a hub and retries the transient ones."""

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


class TransientError(Exception):
    """A failure that may not happen again."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Retries:
    """A limited number of retries with increasing waits."""

    def __init__(self, place: str, on_line: Callable[[str], None]) -> None:
        self.place = place
        self.on_line = on_line
        self.reset()

    def reset(self) -> None:
        """Allow all retries again, after progress."""
        self.waits = iter(WAITS_SECONDS)

    def wait(self, reason: TransientError) -> None:
        """Sleep until the next try.

        Raises:
            DataError: no try is left.
        """
        seconds = next(self.waits, None)
        if seconds is None:
            raise DataError(
                f"{self.place}: {reason}, {len(WAITS_SECONDS) + 1} times. Downloaded bytes are kept; run the same "
                "command again once the hub is reachable"
            )
        seconds = min(max(seconds, reason.wait_seconds), LONGEST_WAIT_SECONDS)
        self.on_line(f"{self.place}: {reason}; trying again in {seconds:g} s")
        sleep(seconds)

    def call(self, action: Callable[[], Answer]) -> Answer:
        """Return the action's result, retrying transient failures.

        Raises:
            DataError: the hub refuses or no try is left.
        """
        while True:
            try:
                with hub_errors(self.place):
                    return action()
            except TransientError as reason:
                self.wait(reason)


@contextmanager
def hub_errors(place: str) -> Iterator[None]:
    """Convert errors of huggingface_hub inside the block.

    Raises:
        TransientError: a retry may help.
        DataError: it would not help; names the place.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in TRANSIENT_STATUSES:
            after = str(error.response.headers.get("Retry-After", ""))
            raise TransientError(f"HTTP status {status}", float(after) if after.isdigit() else 0.0) from error
        raise DataError(f"{place}: {explain_refusal(error, status)}") from error
    except OfflineModeIsEnabled as error:
        raise DataError(f"{place}: huggingface_hub is in offline mode; unset HF_HUB_OFFLINE and try again") from error
    except transport_error() as error:
        raise TransientError(f"no answer ({type(error).__name__}: {error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{place}: the answer is not one of a Hugging Face hub ({type(error).__name__}: {str(error)[:80]}). Check "
            "--endpoint, and whether a proxy or a login page answers instead"
        ) from error


def transport_error() -> type[Exception]:
    """Return the base class of the HTTP client's errors: httpx's under huggingface_hub 1, httpx2's under 2."""
    from huggingface_hub.errors import HfHubHTTPError

    return cast("type[Exception]", HfHubHTTPError.__bases__[0])


def explain_refusal(error: Exception, status: int) -> str:
    """Return the likely cause of a refusal and what to do about it."""
    from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return f"gated ({status}). Accept its conditions on its page, run `hf auth login`, then the same command again"
    if isinstance(error, DisabledRepoError):
        return f"the hub has disabled this repository ({status}); choose another one with --from OWNER/REPO"
    if isinstance(error, RevisionNotFoundError):
        return f"the commit no longer exists ({status}); run the same command again to use the newest one"
    match status:
        case 401:
            return (
                "not readable without a login (401). The hub also answers this for misspelled names: check OWNER/REPO; "
                "if the repository is private, run `hf auth login`"
            )
        case 403:
            return "forbidden (403). The token of `hf auth login` has no permission to read it"
        case 404:
            return "not found (404). Check the spelling, or choose another repository with --from OWNER/REPO"
    return f"the hub refused the request ({status}): {str(error).splitlines()[0][:120]}"
