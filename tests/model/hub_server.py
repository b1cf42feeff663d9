"""A model hub on loopback that speaks the routes a download needs, and misbehaves on request."""

import hashlib
import json
import threading
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE_BYTES = 4096


@dataclass
class Repository:
    """Files of the one commit of a repository, and the names that resolve to it."""

    files: dict[str, bytes]
    commit: str = COMMIT
    revisions: tuple[str, ...] = ("main",)
    gated: bool = False


@dataclass
class Request:
    """What a client asked for."""

    path: str
    headers: dict[str, str]


@dataclass
class Faults:
    """What goes wrong: file names and counts of times."""

    corrupted: set[str] = field(default_factory=set)
    cut_short: Counter[str] = field(default_factory=Counter)
    unavailable: Counter[str] = field(default_factory=Counter)
    announced_bytes: dict[str, int] = field(default_factory=dict)
    silent_listing: bool = False
    ignores_ranges: bool = False


class HubServer:
    """Serves repositories at ``url`` until ``close``; large files are redirected to storage under another host name."""

    def __init__(self, repositories: dict[str, Repository]) -> None:
        self.repositories = repositories
        self.faults = Faults()
        self.requests: list[Request] = []
        hub = self

        class Handler(_Handler):
            state = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{port}"
        self.storage_url = f"http://localhost:{port}/storage"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def downloads(self, name: str) -> list[Request]:
        """Give the requests that reached the bytes of a file."""
        return [each for each in self.requests if each.path.endswith(f"/{name}") and "/storage/" in each.path]


class _Handler(BaseHTTPRequestHandler):
    state: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass

    def do_GET(self) -> None:
        self.state.requests.append(Request(self.path, dict(self.headers)))
        path = urllib.parse.urlsplit(self.path).path
        if path.startswith("/api/models/"):
            self._describe(path.removeprefix("/api/models/"))
        elif path.startswith("/storage/"):
            self._send_file(*path.removeprefix("/storage/").rsplit("/", 1))
        else:
            self._resolve(path.removeprefix("/"))

    def _describe(self, path: str) -> None:
        name, _, revision = path.partition("/revision/")
        repository = self.state.repositories.get(name)
        if repository is None:
            # The hub hides what does not exist behind the same answer as what is private.
            self._answer(401, {"error": "Invalid username or password."})
        elif repository.gated:
            self._answer(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        elif urllib.parse.unquote(revision) not in (*repository.revisions, repository.commit):
            self._answer(404, {"error": f"Invalid rev id: {revision}"}, {"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = [self._sibling(file, content) for file, content in repository.files.items()]
            self._answer(200, {"id": name, "sha": repository.commit, "siblings": siblings})

    def _sibling(self, name: str, content: bytes) -> dict[str, Any]:
        if self.state.faults.silent_listing:
            return {"rfilename": name}
        size = self.state.faults.announced_bytes.get(name, len(content))
        entry: dict[str, Any] = {"rfilename": name, "size": size, "blobId": _git_sha1(content)}
        if len(content) >= _LARGE_BYTES:
            entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 134}
        return entry

    def _resolve(self, path: str) -> None:
        name, _, rest = path.partition("/resolve/")
        commit, _, file = rest.partition("/")
        repository = self.state.repositories.get(name)
        if repository is None or commit != repository.commit or file not in repository.files:
            self._answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        if self.state.faults.unavailable[file] > 0:
            self.state.faults.unavailable[file] -= 1
            self._answer(503, {"error": "try again"})
            return
        headers = {"Location": f"{self.state.storage_url}/{name}/{file}"}
        content = repository.files[file]
        if len(content) >= _LARGE_BYTES:
            headers["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
        self._answer(302, {}, headers)

    def _send_file(self, name: str, file: str) -> None:
        content = self.state.repositories[name].files[file]
        if file in self.state.faults.corrupted:
            content = content[:-1] + bytes([content[-1] ^ 1])
        asked = "bytes=0-" if self.state.faults.ignores_ranges else self.headers.get("Range", "bytes=0-")
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            self._answer(416, {"error": "nothing there"}, {"Content-Range": f"bytes */{len(content)}"})
            return
        part = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.state.faults.cut_short[file] > 0:
            self.state.faults.cut_short[file] -= 1
            part = part[: len(part) // 2]
            self.close_connection = True
        self.wfile.write(part)

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(payload)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
