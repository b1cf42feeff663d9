"""Names: one look-up at a time, nobody waits long, the last word counts while there is no new one."""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from transformer.names import Names, Resolver, look_up

HOST = "predictor.example"


class NameServer:
    """Says what ``says`` is; while ``silent`` is set, only when ``speak`` is called."""

    def __init__(self) -> None:
        self.says: list[str] | OSError = ["192.0.2.1"]
        self.asked = 0
        self._voice = threading.Event()
        self._voice.set()

    def fall_silent(self) -> None:
        self._voice.clear()

    def speak(self) -> None:
        self._voice.set()

    def look_up(self, host: str) -> list[str]:
        assert host == HOST
        self.asked += 1
        self._voice.wait()
        if isinstance(self.says, OSError):
            raise self.says
        return self.says


@pytest.fixture
def server() -> Iterator[NameServer]:
    double = NameServer()
    yield double
    double.speak()


async def test_an_address_is_no_name(server: NameServer) -> None:
    names = Names(look_up=server.look_up)
    assert await names.addresses("192.0.2.9") == ["192.0.2.9"]
    assert await names.addresses("::1") == ["::1"]
    assert server.asked == 0


async def test_a_new_address_counts_at_once(server: NameServer) -> None:
    names = Names(look_up=server.look_up)
    assert await names.addresses(HOST) == ["192.0.2.1"]
    server.says = ["192.0.2.2", "192.0.2.3"]
    assert await names.addresses(HOST) == ["192.0.2.2", "192.0.2.3"]


async def test_those_who_ask_at_the_same_time_share_one_look_up(server: NameServer) -> None:
    names = Names(look_up=server.look_up)
    assert await asyncio.gather(*(names.addresses(HOST) for _ in range(50))) == [["192.0.2.1"]] * 50
    assert server.asked == 1


async def test_a_silent_name_server_costs_the_first_one_the_patience_and_the_others_nothing(server: NameServer) -> None:
    server.fall_silent()
    names = Names(look_up=server.look_up, patience_s=0.3)
    began_s = time.monotonic()
    with pytest.raises(OSError, match="no name server answers"):
        await names.addresses(HOST)
    assert time.monotonic() - began_s >= 0.3
    asked = [names.addresses(HOST) for _ in range(20)]
    # A second patience each would be 6 s.
    async with asyncio.timeout(3):
        for each in asked:
            with pytest.raises(OSError, match="no name server answers"):
                await each
    assert server.asked == 1
    server.speak()
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                assert await names.addresses(HOST) == ["192.0.2.1"]
                break
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("away", ["silent", "refusing"])
async def test_the_last_addresses_serve_while_the_name_server_is_away(server: NameServer, away: str) -> None:
    names = Names(look_up=server.look_up, patience_s=0.2)
    assert await names.addresses(HOST) == ["192.0.2.1"]
    if away == "silent":
        server.fall_silent()
    else:
        server.says = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert await names.addresses(HOST) == ["192.0.2.1"]
    assert await names.addresses(HOST) == ["192.0.2.1"]


async def test_whoever_gives_up_takes_nobody_along_and_leaves_no_trace(
    server: NameServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.fall_silent()
    names = Names(look_up=server.look_up, patience_s=5)
    impatient, patient = (asyncio.create_task(names.addresses(HOST)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    server.says = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    server.speak()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    with pytest.raises(OSError, match="Temporary failure"):
        await patient
    del impatient, patient
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_one_line_says_that_a_name_is_lost_and_one_that_it_is_found(
    server: NameServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="transformer.names")
    server.says = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    names = Names(look_up=server.look_up)
    for _ in range(20):
        with pytest.raises(OSError, match="not known"):
            await names.addresses(HOST)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    server.says = ["192.0.2.1"]
    await names.addresses(HOST)
    await names.addresses(HOST)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_after_a_minute_it_is_said_again(server: NameServer, caplog: pytest.LogCaptureFixture) -> None:
    server.says = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    names = Names(look_up=server.look_up, quiet_s=0)
    for _ in range(2):
        with pytest.raises(OSError, match="not known"):
            await names.addresses(HOST)
    assert len(caplog.records) == 2


async def test_aiohttp_gets_addresses_of_the_family_it_asks_for(server: NameServer) -> None:
    server.says = ["2001:db8::1", "192.0.2.1"]
    resolver = Resolver(Names(look_up=server.look_up))

    async def hosts(family: socket.AddressFamily) -> list[str]:
        return [each["host"] for each in await resolver.resolve(HOST, 80, family)]

    assert await hosts(socket.AF_UNSPEC) == ["2001:db8::1", "192.0.2.1"]
    assert await hosts(socket.AF_INET6) == ["2001:db8::1"]
    assert await hosts(socket.AF_INET) == ["192.0.2.1"]


def test_the_c_library_is_asked() -> None:
    assert "127.0.0.1" in look_up("localhost")
