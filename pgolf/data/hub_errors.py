"""Explains errors of a hub: where, what happened, what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgolf.errors import DataError, MachineError

ADVICE = "Complete files are kept; run the same command again"


class HubUnavailable(Exception):
    """The hub is busy or does not answer."""

    def __init__(self, reason: str, asked_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.asked_seconds = asked_seconds
        """How long the hub asks to wait."""


class DamagedDownload(DataError):
    """A download has another size or checksum than the hub lists."""

    def __init__(self, difference: str) -> None:
        super().__init__(f"{difference}. The damaged download has been deleted; run the same command again")


@contextmanager
def hub_errors(place: str, folder: Path | None = None) -> Iterator[None]:
    """Convert errors of huggingface_hub inside the block, which may write to the folder.

    Raises:
        DataError: the hub refuses or cannot be reached; names the place.
        MachineError: the download cannot be written.
        DamagedDownload: the download has another size than the hub says.
    """
    from httpx2 import HTTPError

    try:
        yield
    except (HubUnavailable, HTTPError, OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise explain(error, place, folder) from error


def explain(error: BaseException, place: str, folder: Path | None) -> Exception:
    """Return the project's error for one of huggingface_hub, its HTTP client or hf_xet."""
    from httpx2 import HTTPError
    from huggingface_hub.errors import (
        FileMetadataError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    match error:
        case LocalEntryNotFoundError() if error.__cause__:
            return explain(error.__cause__, place, folder)
        case HfHubHTTPError():
            return DataError(f"{place}: {explain_refusal(error, error.response.status_code)}")
        case OfflineModeIsEnabled():
            return DataError(f"{place}: huggingface_hub is in offline mode; unset HF_HUB_OFFLINE and try again")
        case HubUnavailable(asked_seconds=seconds) if seconds:
            return DataError(f"{place}: {error}, and the hub asks to wait {seconds:,g} s. {ADVICE} after that")
        case HubUnavailable() | HTTPError():
            return DataError(f"{place}: {error}. {ADVICE} once the hub is reachable")
        case OSError(errno=int()):
            return MachineError(f"{error.filename or folder}: {error.strerror}. {ADVICE} once it can be written")
        case OSError() if not isinstance(error, FileMetadataError):  # how huggingface_hub reports a wrong size
            return DamagedDownload(f"{place}: {str(error).partition('.')[0]}")
        case RuntimeError() if not isinstance(error, RecursionError):  # all that hf_xet raises
            return DataError(f"{place}: {error}. {ADVICE}, with HF_HUB_DISABLE_XET=1 if it fails again")
    return DataError(
        f"{place}: the answer is not one of a Hugging Face hub ({type(error).__name__}: {str(error)[:80]}). Check "
        "--endpoint, and whether a proxy or a login page answers instead"
    )


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
