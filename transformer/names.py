"""Finds hosts' addresses without waiting long for a name server, and uses its last answer while it is down.

The C library's look-up cannot be cancelled, and without a name server it takes about 40 s. So there is one at a time
for each name, in a thread that nothing waits for at the end, and callers wait a second at most.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aiohttp.abc import AbstractResolver, ResolveResult

log = logging.getLogger(__name__)

_PATIENCE_S = 1.0
_QUIET_S = 60.0


def look_up(host: str) -> list[str]:
    """Ask the C library; gives each address once, its best first. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _LookUp(NamedTuple):
    began_s: float
    ended: "asyncio.Future[list[str] | OSError]"


class Names:
    """Addresses of hosts, on one event loop.

    Args:
        look_up: blocks until it knows a host's addresses; raises OSError.
        patience_s: longest wait for a look-up, counted from its start: later callers wait less.
        quiet_s: seconds between two lines about one name that cannot be found.
    """

    def __init__(
        self,
        *,
        look_up: Callable[[str], list[str]] = look_up,
        patience_s: float = _PATIENCE_S,
        quiet_s: float = _QUIET_S,
    ) -> None:
        self._look_up = look_up
        self._patience_s = patience_s
        self._quiet_s = quiet_s
        self._known: dict[str, list[str]] = {}
        self._under_way: dict[str, _LookUp] = {}
        self._said_s: dict[str, float] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """Give a host's addresses: what a name server says now, or else said last.

        Raises:
            OSError: none has ever said.
        """
        if is_address(host):
            return [host]
        asked = self._under_way.get(host) or self._begin(host)
        left_s = asked.began_s + self._patience_s - time.monotonic()
        if left_s > 0 and not asked.ended.done():
            await asyncio.wait([asked.ended], timeout=left_s)
        said = asked.ended.result() if asked.ended.done() else TimeoutError("no name server answers")
        if isinstance(said, OSError):
            self._complain(host)
            if host not in self._known:
                # A new one for each who waits: a traceback is added to whatever is raised.
                raise socket.gaierror(socket.EAI_AGAIN, str(said))
            return self._known[host]
        return said

    def _begin(self, host: str) -> _LookUp:
        loop = asyncio.get_running_loop()
        asked = self._under_way[host] = _LookUp(time.monotonic(), loop.create_future())

        def work() -> None:
            try:
                said: list[str] | OSError = self._look_up(host)
            except OSError as error:
                said = error
            with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(self._end, host, said)

        threading.Thread(target=work, name="look-up", daemon=True).start()
        return asked

    def _end(self, host: str, said: list[str] | OSError) -> None:
        if not isinstance(said, OSError):
            self._known[host] = said
            if self._said_s.pop(host, None) is not None:
                log.info("a name is found again", extra={"event": "name_found", "name_asked": host})
        self._under_way.pop(host).ended.set_result(said)

    def _complain(self, host: str) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s.get(host, float("-inf")) < self._quiet_s:
            return
        self._said_s[host] = now_s
        known = host in self._known
        sentence = "its last addresses are used" if known else "its addresses are unknown"
        log.warning(
            "a name cannot be found; %s",
            sentence,
            extra={"event": "name_not_found", "name_asked": host, "known": known},
        )


class Resolver(AbstractResolver):
    """Names as aiohttp asks for them."""

    def __init__(self, names: Names) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Give a host's addresses of a family; raises OSError."""
        families = {address: _family(address) for address in await self._names.addresses(host)}
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=found, proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address, found in families.items()
            if family in (socket.AF_UNSPEC, found)
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is open."""


def is_address(host: str) -> bool:
    """Whether a host is an address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
