"""A connection's pending answer: from a hot route's handler, or from the application through uvicorn's cycle."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from serving.http.exchange import Direct, DirectExchange, asgi_exchange
from serving.http.head import Head
from serving.http.outgoing import Outgoing
from serving.http.reply import Reply

_HIGH_WATER_BYTES = 65_536


class Answering:
    """Answers one request at a time; to uvicorn's cycle it is both transport and flow control.

    Args:
        direct: answers hot routes.
        config: uvicorn's.
        server_state: what uvicorn knows of all connections.
        app_state: what the application keeps from its start.
        outgoing: where answers go.
        answered: called after an answer, with whether another request may follow.
        read_on: called when there is room for more of a body.
        end: closes the connection after what was written.

    Attributes:
        owed: the pending answer, a ``DirectExchange`` or uvicorn's cycle; None if there is none.
    """

    __slots__ = (
        "_about", "_answered", "_app", "_direct", "_end", "_loop", "_outgoing", "_read_on", "_state", "_told_to_wait",
        "owed",
    )  # fmt: skip

    def __init__(
        self,
        *,
        direct: Direct,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        outgoing: Outgoing,
        answered: Callable[[bool], None],
        read_on: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self._app = config.loaded_app
        self._loop = asyncio.get_running_loop()
        self._direct = direct
        self._state = server_state
        self._outgoing = outgoing
        self._answered = answered
        self._read_on = read_on
        self._end = end
        self._about: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": config.asgi_version, "spec_version": "2.3"},
            "scheme": "http",
            "root_path": config.root_path,
            "state": app_state,
        }
        self._told_to_wait = False
        self.owed: Any = None

    def connect(self, transport: Any) -> None:
        """Note the addresses for scopes."""
        self._about["server"], self._about["client"] = get_local_addr(transport), get_remote_addr(transport)

    @property
    def full(self) -> bool:
        """Whether the application has not taken enough of a body to be given more."""
        return self.owed is not None and len(self.owed.body) > _HIGH_WATER_BYTES

    def begin(self, head: Head, content: bytes, *, whole: bool) -> None:
        """Answer a request: at once, or ``owed`` is set.

        Args:
            head: the request's.
            content: what has arrived of its body.
            whole: whether that is all.
        """
        if whole and head.target in self._direct.direct_urls and head.method == b"POST" and not head.expects_continue:
            begun = self._direct.answer(head.target, head.headers, content)
            if isinstance(begun, Reply):
                self._state.total_requests += 1
                self._outgoing.reply(begun, keep_alive=head.keep_alive)
                return
            self.owed = exchange = DirectExchange(begun, keep_alive=head.keep_alive, send=self._send)
            exchange.task = self._start(exchange.run())
            return
        self.owed = cycle = asgi_exchange(
            head,
            link=self,
            about=self._about,
            default_headers=self._state.default_headers,
            on_response=self._cycle_ended,
        )
        self._told_to_wait = head.expects_continue
        cycle.body += content
        cycle.more_body = not whole
        cycle.message_event.set()
        self._start(cycle.run_asgi(self._app))

    def more(self, content: bytes, *, whole: bool) -> None:
        """Hand on more of a body; what comes after an early answer is discarded."""
        cycle = self.owed
        if cycle is not None and (content or whole):
            cycle.body += content
            cycle.more_body = not whole
            cycle.message_event.set()

    def abandon(self) -> None:
        """Drop the pending answer: no one waits for it."""
        exchange, self.owed = self.owed, None
        if exchange is not None:
            exchange.disconnected = True
            exchange.message_event.set()

    # What uvicorn's cycle calls.

    @property
    def write_paused(self) -> bool:
        """Whether the client has so much to read that no more should be written."""
        return self._outgoing.paused

    def write(self, data: bytes) -> None:
        """Write a part of an answer."""
        self._outgoing.write(data)

    def is_closing(self) -> bool:
        """Tell whether nothing can be written any more."""
        return self._outgoing.ended

    def close(self) -> None:
        """Close after what was written."""
        self._end()

    def resume_reading(self) -> None:
        """Hand over more of the body: the application has consumed what there was."""
        self._read_on()

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        await self._outgoing.drain()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # The server waits for its tasks before it leaves. The loop's own method costs half of asyncio's.
        task = self._loop.create_task(work)
        task.add_done_callback(self._state.tasks.discard)
        self._state.tasks.add(task)
        return task

    async def _send(self, exchange: DirectExchange, reply: Reply) -> None:
        if self._outgoing.paused:
            await self._outgoing.drain()
        if exchange.disconnected:
            return
        exchange.response_started = True
        self._outgoing.reply(reply, keep_alive=exchange.keep_alive)
        self._finish(keep_alive=exchange.keep_alive)

    def _cycle_ended(self) -> None:
        # The client may or may not send the body that it offered and was not asked for.
        unasked = self._told_to_wait and self.owed is not None and self.owed.more_body
        self._finish(keep_alive=not unasked)

    def _finish(self, *, keep_alive: bool) -> None:
        self.owed = None
        self._state.total_requests += 1
        self._answered(keep_alive)
