"""The HTTP client of huggingface_hub, made to wait as long as a busy hub asks and to say so.

By itself huggingface_hub (2.4) reads no date in Retry-After, gives up at once when a download is answered with 503,
downloads from the start after a reset connection, and waits for minutes without a word.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from email.utils import mktime_tz, parsedate_tz
from typing import Any

import httpx2
from filelock import SoftFileLock
from huggingface_hub import __version__, constants, get_session, set_client_factory
from huggingface_hub.utils import _fixes
from huggingface_hub.utils.logging import get_verbosity, set_verbosity

from pgolf.data.hub_errors import HubUnavailable
from pgolf.errors import DataError

BUSY_STATUSES = {408, 425, 429, 500, 502, 503, 504}
BROKEN_CONNECTION = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)
# The hub's windows of rate limiting last five minutes.
LONGEST_WAIT_SECONDS = 900.0
TIMEOUT_SECONDS = 30.0


def configure_huggingface_hub(on_line: Callable[[str], None]) -> None:
    """Make huggingface_hub send its requests through a PatientClient, and work on any file system."""
    # Its telemetry asks huggingface.co for a list of coding agents, even if files come from another hub.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    # It fails where a file system has no flock. Its locks are in a scratch folder, which one process uses at a time.
    if not hasattr(_fixes, "FileLock"):
        raise DataError(f"huggingface_hub {__version__} is not supported: install a version that pgolf requires")
    _fixes.FileLock = SoftFileLock
    if get_verbosity() == logging.WARNING:
        set_verbosity(logging.ERROR)  # the client reports what it waits for
    hooks = get_session().event_hooks  # they refuse requests in offline mode, and count downloads
    set_client_factory(lambda: PatientClient(on_line, hooks))


class PatientClient(httpx2.Client):
    """Sends a request again while the hub is busy or does not answer."""

    def __init__(self, on_line: Callable[[str], None], event_hooks: Mapping[str, list[Callable[..., Any]]]) -> None:
        super().__init__(event_hooks=event_hooks, follow_redirects=True, timeout=TIMEOUT_SECONDS)
        self.on_line = on_line

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Return the first response of a hub that is not busy.

        Raises:
            HubUnavailable: it stays busy or silent, or asks for too long a wait.
        """
        pauses = iter(PAUSES_SECONDS)
        while True:
            try:
                return self.send_once(request, **options)
            except HubUnavailable as reason:
                pause = next(pauses, None)
                if pause is None or reason.asked_seconds > LONGEST_WAIT_SECONDS:
                    raise
                self.wait(reason, pause)

    def send_once(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Return the response.

        Raises:
            HubUnavailable: the hub is busy or does not answer.
        """
        try:
            response = super().send(request, **options)
        except (*BROKEN_CONNECTION, httpx2.ProxyError) as error:
            raise HubUnavailable(f"no answer ({describe(error)})") from error
        if response.status_code not in BUSY_STATUSES:
            if isinstance(response.stream, httpx2.SyncByteStream):
                response.stream = ResumableBody(response.stream, self.on_line)
            return response
        response.close()
        raise HubUnavailable(f"HTTP status {response.status_code}", asked_seconds(response.headers))

    def wait(self, reason: HubUnavailable, pause: float) -> None:
        """Sleep as long as the hub asks, else for the pause."""
        if reason.asked_seconds:
            self.on_line(f"the hub asks to wait {reason.asked_seconds:,g} s ({reason})")
        else:
            self.on_line(f"{reason}; trying again in {pause:g} s")
        time.sleep(max(reason.asked_seconds, pause))


class ResumableBody(httpx2.SyncByteStream):
    """The body of a response. If it breaks off, it raises the error after which huggingface_hub resumes."""

    def __init__(self, body: httpx2.SyncByteStream, on_line: Callable[[str], None]) -> None:
        self.body = body
        self.on_line = on_line

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self.body
        except BROKEN_CONNECTION as error:
            self.on_line(f"the connection broke ({describe(error)}); resuming")
            raise httpx2.RemoteProtocolError(str(error)) from error

    def close(self) -> None:
        self.body.close()


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def asked_seconds(headers: Mapping[str, str]) -> float:
    """Return how long a busy hub asks to wait: the longest of what it says, 0 if it says nothing.

    Source: RFC 9110, 10.2.3 (Retry-After); draft-ietf-httpapi-ratelimit-headers-09 (RateLimit: "name";r=0;t=20).
    """
    said = [0.0]
    for item in headers.get("RateLimit", "").split(","):
        limit = dict(re.findall(r";\s*([rt])\s*=\s*(\d+)", item))
        if limit.get("r") == "0" and "t" in limit:
            said.append(float(limit["t"]))
    after = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", after):
        said.append(float(after))
    elif date := parsedate_tz(after):
        with suppress(ValueError, OverflowError):  # a date such as the year 99999999 says nothing
            # By the hub's own clock, if it tells the time: the clock of this machine may be wrong.
            sent = parsedate_tz(headers.get("Date", ""))
            said.append(mktime_tz(date) - (mktime_tz(sent) if sent else time.time()))
    return max(said)
