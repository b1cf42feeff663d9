"""Posts through the gateway as a client does, and keeps a steady trickle of posts going."""

import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

# Two cold starts, where nothing runs while nobody asks.
_PATIENCE_S = 120


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer: status 0 when there was none."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> str | None:
        """Whether the answer came from the cache."""
        return self.headers.get("x-cache")

    @property
    def version(self) -> str | None:
        """Which model answered."""
        return self.headers.get("x-model-version")

    def predictions(self) -> list[Any]:
        """Give the predictions."""
        found: list[Any] = json.loads(self.body)["predictions"]
        return found


class Gateway:
    """The service behind a gateway.

    Args:
        url: the gateway's address, ``http://host[:port]`` or ``https://host[:port]``.
        host: the Host header that chooses the service; with TLS the certificate has to be this name's.
        authority: PEM of the certificate authority to trust; None for this machine's own list.
    """

    def __init__(self, *, url: str, host: str, authority: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.host = host
        self.authority = authority
        self._parts = urllib.parse.urlsplit(self.url)

    def post(self, texts: Sequence[str], headers: Mapping[str, str] | None = None) -> Reply:
        """Post texts to ``/predict``."""
        return self.ask("POST", "/predict", json.dumps({"text": texts}), headers)

    def ask(
        self, method: str, target: str, body: str | bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one request on a connection of its own, its target as it is; the header ``host`` may be another's."""
        connection = self.connection()
        try:
            return ask_on(connection, method, target, body, {"host": self.host, **(headers or {})})
        finally:
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        """Give a connection that opens when it is used."""
        if self._parts.scheme == "https":
            return _NamedConnection(self._parts.netloc, name=self.host, authority=self.authority)
        return http.client.HTTPConnection(self._parts.netloc, timeout=_PATIENCE_S)


def ask_on(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: str | bytes | None,
    headers: Mapping[str, str],
) -> Reply:
    """Send one request on a connection."""
    try:
        # http.client refuses targets that no client should send.
        connection._validate_path = lambda _url: None  # type: ignore[attr-defined]
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        content = body.encode() if isinstance(body, str) else body
        if content is not None:
            connection.putheader("content-length", str(len(content)))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(content)
        answer = connection.getresponse()
        said = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(status=answer.status, body=answer.read(), headers=said)
    except (OSError, http.client.HTTPException):
        return Reply(status=0, body=b"")


class _NamedConnection(http.client.HTTPConnection):
    """TLS to an address under a name that need not be in any DNS."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, address: str, *, name: str, authority: str | None) -> None:
        super().__init__(address, timeout=_PATIENCE_S)
        self._name = name
        self._tls = ssl.create_default_context(cadata=authority)

    def connect(self) -> None:
        super().connect()
        plain: socket.socket = self.sock
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)


class Trickle:
    """Posts at a steady pace until the block ends; counts the statuses.

    Args:
        gateway: who is asked.
        per_s: requests a second, one after another.
        text: what is asked; None for a new text each time.

    Attributes:
        statuses: how often each came; 0 is no answer.
        unexplained: refusals that did not say when to come back.
    """

    def __init__(self, gateway: Gateway, *, per_s: float = 5.0, text: str | None = None) -> None:
        self._gateway = gateway
        self._text = text
        self._pause_s = 1 / per_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.statuses: Counter[int] = Counter()
        self.unexplained = 0

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """How many were not answered with a 200."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(60)

    def _run(self) -> None:
        mark = time.time_ns()
        number = 0
        while True:
            number += 1
            reply = self._gateway.post([self._text or f"a film like no other {mark} {number}"])
            self.statuses[reply.status] += 1
            self.unexplained += reply.status != 200 and "retry-after" not in reply.headers
            if self._over.wait(self._pause_s):
                return
