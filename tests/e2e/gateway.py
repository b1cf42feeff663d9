"""Posts through the gateway as a client does, and keeps a steady trickle of posts going."""

import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

# Two cold starts, where nothing runs while nobody asks.
_PATIENCE_S = 120


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer: status 0 when there was none."""

    status: int
    cache: str | None
    version: str | None
    body: bytes

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

    def post(self, texts: Sequence[str]) -> Reply:
        """Post texts to ``/predict``."""
        connection = self._connection()
        try:
            connection.request("POST", "/predict", json.dumps({"text": texts}), {"host": self.host})
            answer = connection.getresponse()
            return Reply(
                status=answer.status,
                cache=answer.headers.get("x-cache"),
                version=answer.headers.get("x-model-version"),
                body=answer.read(),
            )
        except (OSError, http.client.HTTPException):
            return Reply(status=0, cache=None, version=None, body=b"")
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._parts.scheme == "https":
            return _NamedConnection(self._parts.netloc, name=self.host, authority=self.authority)
        return http.client.HTTPConnection(self._parts.netloc, timeout=_PATIENCE_S)


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
    """Posts new texts at a steady pace until the block ends; counts the statuses."""

    def __init__(self, gateway: Gateway, *, per_s: float = 5.0) -> None:
        self._gateway = gateway
        self._pause_s = 1 / per_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.statuses: Counter[int] = Counter()

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
            self.statuses[self._gateway.post([f"a film like no other {mark} {number}"]).status] += 1
            if self._over.wait(self._pause_s):
                return
