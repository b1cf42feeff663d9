"""One HTTP/1.1 connection: requests one after another, kept apart, with every byte and second bounded.

While an answer is pending nothing after its request is read, so answers keep their order and what follows a good
request cannot spoil it. A complete request to a hot route goes straight to its handler: an ASGI cycle's scope, event,
task and messages are more than half of the work for an answer from memory.
"""

import asyncio
from typing import Any

from serving.errors import RequestTimeoutError, ServiceError
from serving.http.answering import Answering
from serving.http.exchange import Direct
from serving.http.incoming import Incoming
from serving.http.limits import HttpLimits, Slots
from serving.http.outgoing import Outgoing
from serving.http.patience import Patience
from serving.http.reply import Reply

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STILL_THERE_S = 0.25


class HttpConnection(asyncio.Protocol):
    """A connection.

    Args:
        direct: answers hot routes.
        limits: what the connection may cost.
        slots: those of all connections.
        config: uvicorn's.
        server_state: what uvicorn knows of all connections.
        app_state: what the application keeps from its start.
        _loop: the event loop, under uvicorn's name for it.
    """

    def __init__(
        self,
        *,
        direct: Direct,
        limits: HttpLimits,
        slots: Slots,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        loop = _loop or asyncio.get_running_loop()
        self._connections = server_state.connections
        self._incoming = Incoming(limits=limits)
        self._outgoing = Outgoing(server_state=server_state)
        self._answering = Answering(
            direct=direct,
            config=config,
            server_state=server_state,
            app_state=app_state,
            outgoing=self._outgoing,
            answered=self._answered,
            read_on=self._read_on,
            end=self._end,
        )
        self._patience = Patience(
            limits=limits, slots=slots, clock=loop, leave=self._end, give_up=self._too_slow, abort=self._abort
        )
        self._client_is_done = self._reading_paused = self._ending = False

    # What the event loop and the server call.

    def connection_made(self, transport: Any) -> None:
        """Take a slot, if there is one."""
        self._outgoing.transport = transport
        self._answering.connect(transport)
        self._connections.add(self)
        if not self._patience.first(taken=len(self._connections)):
            self._ending = True
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Cancel the pending request, and free the slot."""
        self._ending = True
        self._connections.discard(self)
        self._patience.close()
        self._answering.abandon()
        self._incoming.drop()
        self._outgoing.resume()

    def data_received(self, data: bytes) -> None:
        """Read what has arrived."""
        if self._ending:
            return
        self._incoming.feed(data)
        self._advance()

    def eof_received(self) -> bool:
        """Answer a complete request; close if there is none."""
        owed = self._answering.owed is not None or self._outgoing.paused
        if self._ending or self._incoming.body is not None or not owed:
            return False
        self._client_is_done = True
        if not self._outgoing.paused:
            self._patience.after(_STILL_THERE_S, self._ask_whether_the_client_is_there)
        return True

    def pause_writing(self) -> None:
        """Hold answers back from a client that does not read; close its connection after a while."""
        self._outgoing.pause()
        self._patience.reader()

    def resume_writing(self) -> None:
        """Continue."""
        self._outgoing.resume()
        if self._ending:
            self._patience.end(unsent=False)
            return
        self._patience.read()
        self._advance()

    def shutdown(self) -> None:
        """Close, after the pending answer."""
        if self._answering.owed is None:
            self._end()
        else:
            self._answering.owed.keep_alive = False

    # Requests, one after another.

    def _advance(self) -> None:
        """Take as many steps as what was received allows."""
        try:
            while self._read_body() if self._incoming.body is not None else self._begin():
                pass
        except ServiceError as error:
            self._refuse(error)
        if not self._ending:
            self._wait()

    def _begin(self) -> bool:
        """Begin the next request; tell whether it has arrived and is due."""
        answering = self._answering
        if answering.owed is not None or self._outgoing.paused or self._ending:
            return False
        request = self._incoming.next()
        if request is None:
            return False
        head, content = request
        whole = self._incoming.body is None
        if whole:
            self._patience.received()
        answering.begin(head, content, whole=whole)
        if answering.owed is None and not head.keep_alive:
            self._end()
        return True

    def _read_body(self) -> bool:
        """Read more of a body; tell whether that ended it."""
        if self._answering.full:
            return False
        content = self._incoming.more()
        whole = self._incoming.body is None
        if whole:
            self._patience.received()
        self._answering.more(content, whole=whole)
        return whole

    def _read_on(self) -> None:
        if self._incoming.body is not None and self._incoming.waiting_bytes and not self._ending:
            self._advance()

    def _answered(self, keep_alive: bool) -> None:  # noqa: FBT001  # a callback
        if not keep_alive:
            self._end()
        if not self._ending:
            self._advance()

    # How long it waits, and how it ends.

    def _wait(self) -> None:
        """Set the deadline for what must come next, and pause reading while too much is waiting."""
        incoming = self._incoming
        if self._patience.is_idle and self._answering.owed is None and not incoming.begun:
            self._patience.next()  # a hot route, answered at once: nothing else has changed
            return
        crowded = incoming.crowded
        if crowded is not self._reading_paused:
            self._pause_reading(crowded)
        if self._outgoing.paused:
            return
        if incoming.body is not None:
            self._patience.rest()
        elif self._answering.owed is not None:
            if not self._client_is_done:
                self._patience.answer()
        elif self._client_is_done:
            self._end()
        elif incoming.begun:
            self._patience.rest()
        else:
            self._patience.next()

    def _pause_reading(self, paused: bool) -> None:  # noqa: FBT001  # the new state
        transport = self._outgoing.transport
        if not (self._client_is_done or transport.is_closing()):
            self._reading_paused = paused
            (transport.pause_reading if paused else transport.resume_reading)()

    def _too_slow(self) -> None:
        incoming = self._incoming
        if self._answering.owed is not None if incoming.body is not None else incoming.waiting_bytes:
            self._refuse(RequestTimeoutError())
        else:
            self._end()

    def _ask_whether_the_client_is_there(self) -> None:
        """Find out whether a client that has closed its sending side still listens.

        One that has closed both sides looks the same until something is sent to it: an interim response shows it, and
        saves work that no one waits for.
        """
        if self._answering.owed is not None and not self._answering.owed.response_started:
            self._outgoing.write(_CONTINUE)
            self._patience.after(_STILL_THERE_S, self._ask_whether_the_client_is_there)

    def _refuse(self, error: ServiceError) -> None:
        """Say why, unless an answer has begun or ended already, and close."""
        owed = self._answering.owed
        silent = owed.response_started if owed is not None else self._incoming.body is not None
        self._answering.abandon()
        if not silent:
            self._outgoing.reply(Reply(error.status, error.headers(), error.body()), keep_alive=False)
        self._end(lingers=True)

    def _abort(self) -> None:
        self._outgoing.transport.abort()

    def _end(self, *, lingers: bool = False) -> None:
        """Close after what was written; keep reading for a moment, or a client that still sends loses the answer."""
        if self._ending:
            return
        self._ending = True
        incoming = self._incoming
        lingers = (lingers or incoming.body is not None or incoming.waiting_bytes > 0) and not self._client_is_done
        incoming.drop()
        if lingers and self._reading_paused:
            self._pause_reading(False)  # noqa: FBT003  # the new state
        self._patience.end(unsent=self._outgoing.end(lingers=lingers))
