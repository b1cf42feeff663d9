"""The second tier's budget, on the event loop that the server runs on."""

import asyncio
import socket
import time
from collections.abc import Sequence

import uvloop

from transformer.cache.redis_cache import RedisCache
from transformer.cache.redis_health import RedisHealth
from transformer.cache.tiers import UNREAD
from transformer.metrics import RedisMetrics

BUDGET_S = 0.05


class Commands:
    """Reads the answer to MGET from a socket; ``blocks_s`` keeps the loop from running once it has asked."""

    def __init__(self) -> None:
        self.here, self.there = socket.socketpair()
        self.here.settimeout(0)
        self.blocks_s = 0.0
        self.answers = True

    def _answer(self) -> None:
        time.sleep(self.blocks_s)
        if self.answers:
            self.there.sendall(b"value")

    async def mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._answer)
        return [await loop.sock_recv(self.here, 100)] * len(keys)

    async def set_all(self, items: Sequence[tuple[bytes, bytes, int]]) -> None:
        raise AssertionError("nothing is written here")

    async def probe(self) -> None:
        return


def on_uvloop(commands: Commands, *, patient: bool = False, readable: bool = True) -> bytes | None:
    async def look_up() -> bytes | None:
        metrics = RedisMetrics()
        health = RedisHealth(probe=commands.probe, metrics=metrics)
        health.readable = readable
        cache = RedisCache(commands=commands, health=health, metrics=metrics, budget_s=BUDGET_S, ttl_s=60)
        (value,) = await cache.fetch([b"key"], patient=patient)
        return value

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(look_up())
    commands.here.close()
    commands.there.close()
    return found


def test_answer_that_came_while_the_process_did_not_run_is_taken() -> None:
    commands = Commands()
    commands.blocks_s = 4 * BUDGET_S
    assert on_uvloop(commands) == b"value"


def test_answer_that_does_not_come_is_not_waited_for() -> None:
    commands = Commands()
    commands.answers = False
    assert on_uvloop(commands) == UNREAD


def test_open_breaker_is_no_knowledge_of_absence() -> None:
    assert on_uvloop(Commands(), readable=False) == UNREAD


def test_patient_look_up_asks_whatever_the_breaker_says() -> None:
    assert on_uvloop(Commands(), readable=False, patient=True) == b"value"
