"""A headless Chromium, driven through the WebDriver protocol with the standard library alone."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--hide-scrollbars", "--window-size=1200,1600",
]  # fmt: skip
OWN = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Browser:
    """One session."""

    def __init__(self, address: str, session: str) -> None:
        self.root = f"{address}/session/{session}"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the value of an answer; a request without a body is a GET."""
        return ask(f"{self.root}{path}", body)

    def open(self, page: Path) -> None:
        self.ask("/url", {"url": page.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """Run a script in the page and return its value."""
        return self.ask("/execute/sync", {"script": script, "args": []})

    def command(self, name: str, **parameters: Any) -> Any:
        """Run a command of the DevTools protocol."""
        return self.ask("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def dark(self, is_dark: bool) -> None:
        """Set whether the page sees a user who prefers dark colours."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[feature])

    def resize(self, width: int, height: int = 900) -> None:
        """Give the page a window of this size; a narrow one is a phone's."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip

    def point(self, x: float, y: float) -> None:
        """Move the mouse to a place in the window."""
        self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def wait(self, script: str, seconds: float = 20) -> None:
        """Wait until a script returns true."""
        until = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < until, script
            time.sleep(0.02)

    def printed(self) -> bytes:
        """Return the page as PDF."""
        return base64.b64decode(self.ask("/print", {}))

    def screenshot(self) -> bytes:
        """Return the window as PNG."""
        return base64.b64decode(self.ask("/screenshot"))

    def complaints(self) -> list[str]:
        """Return the errors in the console."""
        entries = self.ask("/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """Return the addresses that pages asked for since the last call, whether they were allowed or not.

        Chromium's own pages, such as that of a new tab, are left out.
        """
        events = [json.loads(entry["message"])["message"] for entry in self.ask("/se/log", {"type": "performance"})]
        sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("chrome:")]


def ask(url: str, body: dict[str, Any] | None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with OWN.open(request, timeout=60) as answer:
        return json.load(answer)["value"]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Yield a browser with an empty profile, and remove the profile afterwards."""
    driver = shutil.which("chromedriver")
    assert driver is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/status")
        options = {"binary": shutil.which("chromium"), "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {
            "alwaysMatch": {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
        }
        session = ask(f"{address}/session", {"capabilities": wanted})["sessionId"]
        try:
            yield Browser(address, session)
        finally:
            OWN.open(urllib.request.Request(f"{address}/session/{session}", method="DELETE"), timeout=30).close()
    finally:
        process.terminate()
        process.wait(10)


def wait_for(url: str) -> None:
    for _ in range(100):
        try:
            ask(url, None)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)
