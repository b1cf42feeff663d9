"""One HTTP/1.1 connection: one request after another, none taken for another, every byte and second bounded.

A request to a hot route that is here as a whole goes straight to its handler: an ASGI cycle's scope, event, task and
messages are more than half of the work for an answer that lies in memory. Every other request goes through uvicorn's
cycle to the ASGI application. While an answer is owed nothing behind its request is read, so answers keep their order
and what follows a good request cannot spoil it.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from serving.errors import HeadersTooLargeError, MalformedRequestError, RequestTimeoutError, ServiceError
from serving.http.body import Body, ChunkedBody, SizedBody
from serving.http.exchange import Direct, DirectExchange, asgi_exchange
from serving.http.head import Head
from serving.http.limits import Deadline, HttpLimits, Slots
from serving.http.reply import Headers, Reply

_HIGH_WATER_BYTES = 65_536
_END = b"\r\n\r\n"
_BEGINNINGS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\r"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STILL_THERE_S = 0.25


class HttpConnection(asyncio.Protocol):
    """A connection.

    Args:
        direct: answers hot routes.
        limits: what the connection may cost.
        slots: the places of all connections.
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
        self._app = config.loaded_app
        self._loop = _loop or asyncio.get_running_loop()
        self._direct = direct
        self._limits = limits
        self._slots = slots
        self._state = server_state
        self._about: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": config.asgi_version, "spec_version": "2.3"},
            "scheme": "http",
            "root_path": config.root_path,
            "state": app_state,
        }
        self._default_headers: Headers = []
        self._default_lines = b""
        self._deadline = Deadline(clock=self._loop)
        self._transport: Any  # asyncio.Transport, of which uvloop's is no subclass
        self._unread = b""
        self._at = 0  # where in it reading goes on
        self._blank_bytes = 0
        self._body: Body | None = None  # of the request whose last byte is not here yet
        self._exchange: Any = None  # the answer that is owed; an Exchange
        self._idle = self._receiving = self._told_to_wait = False
        self._client_is_done = self._reading_paused = self._ending = False
        self.write_paused = False
        self._may_write = asyncio.Event()
        self.idle_since_s = 0.0
        self._now = self._loop.time

    # What the event loop and the server call.

    def connection_made(self, transport: Any) -> None:
        """Take a place, if there is one."""
        self._transport = transport
        self._about["server"], self._about["client"] = get_local_addr(transport), get_remote_addr(transport)
        self._state.connections.add(self)
        if self._slots.take(self, taken=len(self._state.connections)):
            self._deadline.set(self._limits.unused_s, self.let_go)
        else:
            self._ending = True
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Give up what is under way, and the place."""
        self._ending = True
        self._state.connections.discard(self)
        self._slots.busy(self)
        self._deadline.close()
        self._abandon()
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._ending:
            return
        self._unread = self._unread[self._at :] + data if self._unread else data
        self._at = 0
        self._advance()

    def eof_received(self) -> bool:
        """Answer what was asked as a whole, and close when nothing was."""
        if self._ending or self._body is not None or (self._exchange is None and not self.write_paused):
            return False
        self._client_is_done = True
        if not self.write_paused:
            self._deadline.set(_STILL_THERE_S, self._ask_whether_the_client_is_there)
        return True

    def pause_writing(self) -> None:
        """Hold answers back from a client that does not read; it has so much time."""
        self.write_paused = True
        self._set_busy()
        self._may_write.clear()
        self._deadline.set(self._limits.receive_s, self._transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        self.write_paused = self._receiving = False
        self._may_write.set()
        self._deadline.clear()
        if not self._ending:
            self._advance()

    def shutdown(self) -> None:
        """Close, after the answer that is owed."""
        if self._exchange is None:
            self._end()
        else:
            self._exchange.keep_alive = False

    def let_go(self) -> None:
        """Close in silence: nothing is under way."""
        self._end()

    # What uvicorn's cycle calls, for which this is both transport and flow control.

    def write(self, data: bytes) -> None:
        """Write a part of an answer."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close after what was written."""
        self._end()

    def is_closing(self) -> bool:
        """Tell whether it has been closed."""
        return self._ending

    def resume_reading(self) -> None:
        """Hand over more of the body, of which the application has taken what was here."""
        if self._body is not None and self._at < len(self._unread) and not self._ending:
            self._advance()

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        await self._may_write.wait()

    # Requests, one after another.

    def _advance(self) -> None:
        """Take as many steps as what was received allows."""
        try:
            while self._read_body() if self._body is not None else self._begin():
                pass
        except ServiceError as error:
            self._refuse(error)
        if not self._ending:
            self._wait()

    def _begin(self) -> bool:
        """Begin with the next request; tell whether it is here and it is its turn."""
        if self._exchange is not None or self.write_paused or self._ending:
            return False
        unread, at = self._unread, self._at
        if unread.startswith(b"\r\n", at):
            at = self._skip_blank_lines(at)
        end = unread.find(_END, at) + 4
        if (end - at if end > 3 else len(unread) - at) > self._limits.head_bytes:
            raise HeadersTooLargeError
        if end == 3:
            if at < len(unread) and unread[at] not in _BEGINNINGS:
                raise MalformedRequestError  # it would have to be waited for in vain
            return False
        head = Head(unread[at:end], fields=self._limits.fields)
        self._blank_bytes = 0
        content = b""
        if head.chunked:
            body: Body = ChunkedBody(spare_bytes=self._limits.head_bytes - (end - at), fields=self._limits.fields)
            content, end = body.read(unread, end)
        elif head.length:
            body = SizedBody(length=head.length)
            content, end = body.read(unread, end)
        self._at = end
        if (head.chunked or head.length) and not body.complete:
            self._body = body
        else:
            self._receiving = False
            if head.target in self._direct.direct_urls and head.method == b"POST" and not head.expects_continue:
                self._answer_directly(head, content)
                return True
        self._ask_application(head, content)
        return True

    def _skip_blank_lines(self, at: int) -> int:
        """Pass over empty lines before a request (RFC 9112, 2.2), of which there is no more than of a head."""
        start = at
        while self._unread.startswith(b"\r\n", at):
            at += 2
        self._at = at
        self._blank_bytes += at - start
        if self._blank_bytes > self._limits.head_bytes:
            raise HeadersTooLargeError
        return at

    def _answer_directly(self, head: Head, content: bytes) -> None:
        begun = self._direct.answer(head.target, head.headers, content)
        if isinstance(begun, Reply):
            self._write_reply(begun, keep_alive=head.keep_alive)
            self._answered(keep_alive=head.keep_alive)
            return
        self._exchange = DirectExchange(begun, keep_alive=head.keep_alive, send=self._send)
        self._start(self._exchange.run())

    def _ask_application(self, head: Head, content: bytes) -> None:
        cycle = asgi_exchange(
            head,
            connection=self,
            about=self._about,
            default_headers=self._state.default_headers,
            on_response=self._cycle_ended,
        )
        cycle.body += content
        cycle.more_body = self._body is not None
        cycle.message_event.set()
        self._told_to_wait = head.expects_continue
        self._exchange = cycle
        self._start(cycle.run_asgi(self._app))

    def _start(self, work: Any) -> None:
        # The server waits for its tasks before it leaves.
        task = self._loop.create_task(work)
        task.add_done_callback(self._state.tasks.discard)
        self._state.tasks.add(task)

    def _read_body(self) -> bool:
        """Read more of a body; tell whether that ended it."""
        body, cycle = self._body, self._exchange
        assert body is not None  # noqa: S101  # only then it is called
        if cycle is not None and len(cycle.body) > _HIGH_WATER_BYTES:
            return False
        content, self._at = body.read(self._unread, self._at)
        if body.complete:
            self._body = None
            self._receiving = False
        # What comes after an early answer is read to its end and thrown away.
        if cycle is not None and (content or body.complete):
            cycle.body += content
            cycle.more_body = not body.complete
            cycle.message_event.set()
        return body.complete

    async def _send(self, exchange: DirectExchange, reply: Reply) -> None:
        if self.write_paused:
            await self._may_write.wait()
        if exchange.disconnected:
            return
        exchange.response_started = True
        self._write_reply(reply, keep_alive=exchange.keep_alive)
        self._exchange = None
        self._answered(keep_alive=exchange.keep_alive)
        if not self._ending:
            self._advance()

    def _write_reply(self, reply: Reply, *, keep_alive: bool) -> None:
        default = self._state.default_headers
        if default is not self._default_headers:
            # uvicorn makes them anew every second.
            self._default_headers = default
            self._default_lines = b"".join([b"%b: %b\r\n" % header for header in default])
        lines = (
            STATUS_LINE[reply.status],
            b"\r\n".join([b": ".join(header) for header in reply.headers]),
            b"\r\n",
            self._default_lines,
            b"content-length: %d\r\n\r\n" % len(reply.content)
            if keep_alive
            else b"content-length: %d\r\nconnection: close\r\n\r\n" % len(reply.content),
            reply.content,
        )
        self._transport.write(b"".join(lines))

    def _cycle_ended(self) -> None:
        self._exchange = None
        # Whether a client will send the body that it offered and was not asked for, nobody can know.
        self._answered(keep_alive=not (self._told_to_wait and self._body is not None))
        if not self._ending:
            self._advance()

    def _answered(self, *, keep_alive: bool) -> None:
        self._state.total_requests += 1
        if not keep_alive:
            self._end()

    # How long it waits, and how it ends.

    def _wait(self) -> None:
        """Set the time for what must come next, and stop reading while too much waits its turn."""
        waiting_bytes = len(self._unread) - self._at
        if not waiting_bytes and self._idle and self._exchange is None and self._body is None and not self._blank_bytes:
            self.idle_since_s = self._now()  # a hot route, answered at once: nothing else has changed
            return
        crowded = waiting_bytes > max(_HIGH_WATER_BYTES, self._limits.head_bytes)
        if crowded is not self._reading_paused and not (self._client_is_done or self._transport.is_closing()):
            self._reading_paused = crowded
            (self._transport.pause_reading if crowded else self._transport.resume_reading)()
        if self.write_paused:
            return
        if self._body is not None:
            self._expect_more()
        elif self._exchange is not None:
            self._set_busy()
            if not self._client_is_done:
                self._deadline.clear()
        elif self._client_is_done:
            self._end()
        elif waiting_bytes or self._blank_bytes:
            self._expect_more()
        else:
            self._set_idle()

    def _set_busy(self) -> None:
        self._idle = False
        self._slots.busy(self)

    def _set_idle(self) -> None:
        self._idle = True
        self.idle_since_s = self._now()
        self._slots.idle(self)
        self._deadline.set(self._limits.keep_alive_s, self._end_if_idle)

    def _end_if_idle(self) -> None:
        left_s = self.idle_since_s + self._limits.keep_alive_s - self._now()
        if left_s > 0:
            self._deadline.set(left_s, self._end_if_idle)
        else:
            self._end()

    def _expect_more(self) -> None:
        if not self._receiving:
            self._receiving = True
            self._set_busy()
            self._deadline.set(self._limits.receive_s, self._too_slow)

    def _too_slow(self) -> None:
        begun = self._exchange is not None if self._body is not None else self._at < len(self._unread)
        if begun:
            self._refuse(RequestTimeoutError())
        else:
            self._end()

    def _ask_whether_the_client_is_there(self) -> None:
        """Find out whether a client that has ended its side still listens.

        One that has closed both sides looks the same until something is sent to it; an interim answer is made for that,
        and work that nobody waits for is not worth its time.
        """
        if self._exchange is not None and not self._exchange.response_started:
            self.write(_CONTINUE)
            self._deadline.set(_STILL_THERE_S, self._ask_whether_the_client_is_there)

    def _refuse(self, error: ServiceError) -> None:
        """Say why, unless it would fall into the midst of an answer or behind one, and close."""
        exchange, answered = self._exchange, self._exchange is None and self._body is not None
        silent = answered or (exchange is not None and exchange.response_started)
        self._abandon()
        if not silent:
            self._write_reply(Reply(error.status, error.headers(), error.body()), keep_alive=False)
        self._end(lingers=True)

    def _abandon(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.disconnected = True
            exchange.message_event.set()

    def _end(self, *, lingers: bool = False) -> None:
        """Close after what was written; read on for a moment, else a client that still sends loses the answer."""
        if self._ending:
            return
        self._ending = True
        self._slots.busy(self)
        lingers = lingers or self._body is not None or self._at < len(self._unread)
        self._unread, self._at, self._body = b"", 0, None
        transport = self._transport
        if transport.is_closing():
            return
        if lingers and not self._client_is_done:
            if self._reading_paused:
                transport.resume_reading()
            transport.write_eof()
        else:
            transport.close()
        unsent = transport.get_write_buffer_size() > 0
        self._deadline.set(self._limits.receive_s if unsent else self._limits.linger_s, transport.abort)
