"""A local hub server: the paths of the Hugging Face hub that dataset downloads use, with injected faults.

As on the hub, large files redirect to a storage path on another host and have SHA-256 as their tag; small ones are sent
directly, with git's blob hash.
"""

import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE_SUFFIXES = (".bin", ".model")


@dataclass(frozen=True)
class Fault:
    """A fault injected into one response."""

    kind: str
    """status, cut, reset, stall, short, flip, longer, whole, shifted."""
    number: int = 0
    """The status, or a number of bytes."""
    headers: tuple[tuple[str, str], ...] = ()
    """Of a status."""


@dataclass(frozen=True)
class Asked:
    """A received request."""

    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class LocalHub:
    """Repositories, pending faults, and received requests."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """By the end of a path; the first of each list applies to the next matching request."""
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and X-Error-Code by repository."""
    asked: list[Asked] = field(default_factory=list)
    address: str = ""
    storage: str = ""
    """Address of the host that sends large files: the same server by another name."""
    is_xet: bool = False
    """Whether large files are announced as stored by Xet, which this server does not speak."""
    page_entries: int = 3
    foreign_page: bytes | None = None
    """Content of every API response of a server that is not a hub."""
    stalled: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def order(self, path: str, *faults: Fault) -> None:
        self.faults.setdefault(path, []).extend(faults)

    def next_fault(self, path: str) -> Fault | None:
        waiting = next((faults for end, faults in self.faults.items() if path.endswith(end) and faults), None)
        return waiting.pop(0) if waiting else None

    def revision(self, repository: str) -> str:
        """Return the commit, a hash of all contents."""
        digest = hashlib.sha1()
        for path, content in sorted(self.repositories[repository].items()):
            digest.update(path.encode() + hashlib.sha1(content).digest())
        return digest.hexdigest()

    def downloads(self, path: str) -> list[Asked]:
        """Return the requests for the bytes of a file."""
        return [asked for asked in self.asked if asked.path.startswith("/storage/") and asked.path.endswith(path)]


@contextmanager
def serving() -> Iterator[LocalHub]:
    """Yield a running hub."""
    hub = LocalHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (HubHandler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address, hub.storage = (f"http://{name}:{server.server_port}" for name in ("127.0.0.1", "localhost"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


class HubHandler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet; otherwise each response waits 40 ms for an acknowledgement.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Do not print: requests are recorded in `asked`."""

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.respond(b"")

    def do_GET(self) -> None:
        self.respond(b"")

    def do_POST(self) -> None:
        self.respond(self.rfile.read(int(self.headers["Content-Length"])))

    def respond(self, form: bytes) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.hub.asked.append(Asked(self.command, path, self.headers["Range"], self.headers["Authorization"]))
        fault = self.hub.next_fault(path)
        if fault and fault.kind == "status":
            self.send(fault.number, b"{}", dict(fault.headers))
        elif match := re.fullmatch(r"/storage/([^/]+/[^/]+)/(.+)", path):
            self.send_file(self.hub.repositories[match[1]][match[2]], fault)
        elif match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", path):
            self.resolve(match[1], match[2], match[3], fault)
        elif match := re.fullmatch(
            r"/api/datasets/([^/]+/[^/]+)(?:/(tree|paths-info)/([0-9a-f]{40})(?:/(.*))?)?", path
        ):
            if self.is_readable(match[1], match[3]):
                self.send_api(match[1], match[2], match[4] or "", parts.query if match[2] == "tree" else form.decode())
        else:
            self.send(404, b"{}")

    def is_readable(self, repository: str, revision: str | None) -> bool:
        """Return whether a repository may be read; if not, send the refusal."""
        status, code = self.hub.refusals.get(repository, (0, ""))
        if not status and repository not in self.hub.repositories:
            status, code = 401, ""
        if not status and revision not in (None, self.hub.revision(repository)):
            status, code = 404, "RevisionNotFound"
        if status:
            self.send(status, b'{"error": "no"}', {"X-Error-Code": code} if code else {})
        return not status

    def send_api(self, repository: str, kind: str | None, folder: str, query: str) -> None:
        if self.hub.foreign_page is not None:
            self.send(200, self.hub.foreign_page)
            return
        content = self.hub.repositories[repository]
        if kind is None:
            answer = {"id": repository, "sha": self.hub.revision(repository), "private": False, "tags": []}
            self.send(200, json.dumps(answer).encode())
        elif kind == "paths-info":
            paths = parse_qs(query)["paths"]
            entries = [describe(path, content[path]) for path in paths if path in content]
            self.send(200, json.dumps(entries).encode())
        else:
            self.send_tree(content, folder, parse_qs(query))

    def send_tree(self, content: dict[str, bytes], folder: str, query: dict[str, list[str]]) -> None:
        """Send a page of a listing, with a link to the next."""
        prefix = f"{folder}/" if folder else ""
        below = [path for path in sorted(content) if path.startswith(prefix)]
        if not below:
            self.send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        if query["recursive"] != ["true"]:
            below = [path for path in below if "/" not in path.removeprefix(prefix)]
        start = int(query.get("cursor", ["0"])[0])
        page = [describe(path, content[path]) for path in below[start : start + self.hub.page_entries]]
        following = f"{self.hub.address}{urlsplit(self.path).path}?recursive={query['recursive'][0]}&cursor="
        more = start + self.hub.page_entries < len(below)
        link = {"Link": f'<{following}{start + self.hub.page_entries}>; rel="next"'} if more else {}
        self.send(200, json.dumps(page).encode(), link)

    def resolve(self, repository: str, revision: str, path: str, fault: Fault | None) -> None:
        content = self.hub.repositories.get(repository, {}).get(path)
        if content is None or revision != self.hub.revision(repository):
            self.send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        digest = describe(path, content)
        headers = {"X-Repo-Commit": revision, "X-Linked-Size": str(len(content))}
        if path.endswith(LARGE_SUFFIXES):
            headers |= {
                "X-Linked-Etag": f'"{digest["lfs"]["oid"]}"',
                "Location": f"{self.hub.storage}/storage/{repository}/{path}",
            }
            if self.hub.is_xet:
                headers |= {"X-Xet-Hash": digest["lfs"]["oid"], "X-Xet-Refresh-Route": f"{self.hub.address}/xet"}
            self.send(302, b"", headers)
        else:
            self.send_file(content, fault, headers | {"ETag": f'"{digest["oid"]}"'})

    def send_file(self, content: bytes, fault: Fault | None, headers: dict[str, str] | None = None) -> None:
        """Send a file or the requested range, with the fault applied."""
        kind, number = (fault.kind, fault.number) if fault else ("", 0)
        found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(found[1]) if found and kind != "whole" else 0
        if start >= len(content) > 0 and start:
            self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        start += number if kind == "shifted" else 0
        body = content[start:]
        sent = {"Accept-Ranges": "bytes", **(headers or {})}
        if start:
            sent["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        match kind:
            case "flip":
                body = body[:number] + bytes([body[number] ^ 1]) + body[number + 1 :]
            case "short":
                body = body[:number]
            case "longer":
                body += bytes(number)
        cut = number if kind in ("cut", "reset", "stall") else None
        self.send(206 if start else 200, body, sent, cut)
        if kind == "reset":  # with these options, closing sends a reset instead of an end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            for end in (self.wfile, self.rfile, self.connection):
                end.close()
        if kind == "stall":
            self.hub.stalled.set()
            self.hub.closed.wait()

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        """Send a response; with `cut`, only that many bytes of its body."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
            self.wfile.flush()
        self.close_connection |= cut is not None


def describe(path: str, content: bytes) -> dict[str, Any]:
    """Return the listing entry of a file."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if path.endswith(LARGE_SUFFIXES):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry
