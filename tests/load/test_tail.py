"""The bench that takes misses apart: its relay, its sums, and the simulation of other orders."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from load.bench.predictor_load import UniqueTexts
from load.bench.tail.mix import PARTS, Miss, Mix, RefusedError, means, slowest
from load.bench.tail.orders import FIRST_COME, NEVER, Clients, Engine, simulate
from load.bench.tail.relay import Relay, durations

ENGINE = Engine(fixed_ms=4.0, token_ms=0.1, batch_tokens=1024, passed_over=FIRST_COME)
CLIENTS = Clients(number=10, known_share=0.95, hit_ms=1.0, miss_tokens=(20, 60, 80, 140))


@asynccontextmanager
async def answering(head: bytes, body: bytes = b"{}") -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                length = int(asked.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            gone.set()

    gone = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await gone.wait()


def test_server_timing_is_read_as_ms_by_name() -> None:
    assert durations("lookup;dur=0.250, predict;dur=12.500") == {"lookup": 0.25, "predict": 12.5}


async def test_the_relay_hands_everything_on_and_notes_calls_by_their_request_id() -> None:
    head = b"HTTP/1.1 200 OK\r\nserver-timing: tokenise;dur=1, queue;dur=2, inference;dur=3\r\n"
    async with answering(head, b'{"a": 1}') as upstream:
        relay = Relay(upstream)
        reader, writer = await asyncio.open_connection("127.0.0.1", await relay.start())
        for extra in (b"", b"x-request-id: m7\r\n"):
            writer.write(b"POST /x HTTP/1.1\r\n" + extra + b"content-length: 2\r\n\r\nhi")
            assert await reader.readuntil(b"\r\n\r\n") == head + b"content-length: 8\r\n\r\n"
            assert await reader.readexactly(8) == b'{"a": 1}'
        writer.close()
        await relay.close()
    assert list(relay.calls) == ["m7"]
    assert relay.calls["m7"].said_ms == {"tokenise": 1, "queue": 2, "inference": 3}
    assert relay.calls["m7"].took_ms > 0


async def test_a_refused_request_ends_the_run() -> None:
    async with answering(b"HTTP/1.1 503 Service Unavailable\r\n") as port:
        mix = Mix(port=port, relay=Relay(0), texts=UniqueTexts(["a"]), known=["b"])
        with pytest.raises(RefusedError, match="answered 503"):
            await mix.run(clients=1, seconds=5, known_share=1.0)


def test_means_are_by_part_and_the_slowest_fifth_is_the_slowest() -> None:
    misses = [Miss(total_ms=float(n), parts_ms=(float(n),) + (0.0,) * (len(PARTS) - 1)) for n in range(1, 11)]
    assert means(misses)[0] == means(misses)[-1] == 5.5
    assert [miss.total_ms for miss in slowest(misses)] == [10.0, 9.0]


@pytest.mark.parametrize("passed_over", [FIRST_COME, 4, NEVER])
@pytest.mark.parametrize("batch_tokens", [256, 1024])
def test_no_order_escapes_littles_law(passed_over: int, batch_tokens: int) -> None:
    seen = simulate(replace(ENGINE, passed_over=passed_over, batch_tokens=batch_tokens), CLIENTS, seconds=600)
    misses_per_s = seen.requests_per_s * (1 - CLIENTS.known_share)
    hits_ms = CLIENTS.hit_ms * CLIENTS.known_share / (1 - CLIENTS.known_share)
    # Who waits when the run ends is not counted, and with nobody's turn guaranteed that can be some.
    starved = 0 if passed_over != NEVER else 3
    cycle_ms = seen.miss_mean_ms + hits_ms
    assert CLIENTS.number - starved - 0.5 <= misses_per_s * cycle_ms / 1e3 <= CLIENTS.number + 0.5


def test_shortest_first_trades_the_typical_miss_for_the_worst() -> None:
    small = replace(ENGINE, batch_tokens=256)
    fair, short = simulate(small, CLIENTS), simulate(replace(small, passed_over=NEVER), CLIENTS)
    assert short.miss_p50_ms < fair.miss_p50_ms
    assert short.miss_max_ms > 2 * fair.miss_max_ms


def test_nobody_is_passed_over_more_often_than_agreed() -> None:
    small = replace(ENGINE, batch_tokens=256)
    bounded, unbounded = (simulate(replace(small, passed_over=n), CLIENTS).miss_max_ms for n in (4, NEVER))
    longest_forward_ms = small.fixed_ms + small.token_ms * small.batch_tokens
    # Passed over four times, behind those who were too, and its own forward.
    assert bounded < 9 * longest_forward_ms < unbounded
