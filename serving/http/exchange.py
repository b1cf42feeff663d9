"""A pending request: with its handler directly, or with an ASGI application."""

import asyncio
import logging
import urllib.parse
from collections.abc import Callable, Container, Coroutine
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from serving.http.head import Head
from serving.http.reply import Headers, Reply

log = logging.getLogger("uvicorn.error")


class Direct(Protocol):
    """Answers hot routes without ASGI."""

    @property
    def direct_urls(self) -> Container[bytes]:
        """Give the request targets that ``answer`` takes, POST only; empty while every request needs ASGI."""

    def answer(self, url: bytes, headers: Headers, body: bytes) -> Reply | Coroutine[Any, Any, Reply]:
        """Answer at once, or give a coroutine that will; raises nothing, and is cancelled if the client hangs up."""


class DirectExchange:
    """A request that a handler is answering, with the part of uvicorn's cycle that a connection uses.

    Args:
        coming: the coming answer.
        keep_alive: whether another request may follow.
        send: writes the answer, once it may be written.

    Attributes:
        task: what ``run`` runs in.
    """

    __slots__ = ("_coming", "_send", "_waits", "disconnected", "keep_alive", "response_started", "task")

    def __init__(
        self,
        coming: Coroutine[Any, Any, Reply],
        *,
        keep_alive: bool,
        send: Callable[["DirectExchange", Reply], Coroutine[Any, Any, None]],
    ) -> None:
        self._coming = coming
        self._send = send
        self._waits = False
        self.task: asyncio.Task[None]
        self.keep_alive = keep_alive
        self.disconnected = self.response_started = False

    @property
    def message_event(self) -> "DirectExchange":
        """Give itself: the only event is that the client hangs up."""
        return self

    def set(self) -> None:
        """Cancel the work if the client has hung up."""
        if self.disconnected and self._waits:
            self.task.cancel()

    async def run(self) -> None:
        """Wait for the answer and send it."""
        if self.disconnected:
            self._coming.close()
            return
        self._waits = True
        reply = await self._coming
        self._waits = False
        await self._send(self, reply)


def asgi_exchange(
    head: Head, *, link: Any, about: dict[str, Any], default_headers: Headers, on_response: Callable[[], None]
) -> Any:
    """Give uvicorn's cycle for a request.

    Args:
        head: the request's.
        link: what the cycle writes to and reads by, as transport and as flow control.
        about: what every scope of the connection holds.
        default_headers: uvicorn's own for every answer.
        on_response: called after the answer's last byte.
    """
    path, _, query = head.target.partition(b"?")
    scope = {
        **about,
        "http_version": head.version,
        "method": head.method.decode("ascii"),
        "path": urllib.parse.unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "headers": head.headers,
        "state": about["state"].copy(),
    }
    return RequestResponseCycle(
        scope=scope,
        transport=link,
        flow=link,
        logger=log,
        access_logger=log,
        access_log=False,
        default_headers=default_headers,
        message_event=asyncio.Event(),
        expect_100_continue=head.expects_continue,
        keep_alive=head.keep_alive,
        on_response=on_response,
    )
