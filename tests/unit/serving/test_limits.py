"""Who gets a place when there are too many connections, and when patience ends."""

import asyncio

import pytest

from serving.http.limits import Deadline, Slots


class Connection:
    """Can be let go."""

    def __init__(self) -> None:
        self.gone = False
        self.idle_since_s = 0.0

    def let_go(self) -> None:
        self.gone = True


@pytest.fixture
def three() -> list[Connection]:
    return [Connection() for _ in range(3)]


def test_newcomer_gets_the_place_of_one_that_was_never_used(three: list[Connection]) -> None:
    slots = Slots(most=3)
    for taken, one in enumerate(three, 1):
        assert slots.take(one, taken=taken)
    for one in (three[1], three[0]):
        slots.busy(one)
        slots.idle(one)
    assert slots.take(Connection(), taken=4)
    assert [one.gone for one in three] == [False, False, True]


def test_newcomer_gets_the_place_of_the_one_that_is_idle_longest(three: list[Connection]) -> None:
    slots = Slots(most=3)
    for one in three:
        assert slots.take(one, taken=1)
        slots.busy(one)
        slots.idle(one)
    three[0].idle_since_s = 1.0  # used again
    assert slots.take(Connection(), taken=4)
    assert [one.gone for one in three] == [False, True, False]
    assert slots.take(Connection(), taken=4)  # that newcomer is the first to go: it was never used


def test_newcomer_is_turned_away_when_all_are_busy(three: list[Connection]) -> None:
    slots = Slots(most=3)
    for one in three:
        assert slots.take(one, taken=1)
        slots.busy(one)
    assert not slots.take(Connection(), taken=4)
    assert not any(one.gone for one in three)


async def test_deadline_that_moves_is_kept_and_only_once() -> None:
    rung: list[str] = []
    deadline = Deadline(clock=asyncio.get_running_loop())
    deadline.set(0.02, lambda: rung.append("early"))
    deadline.set(0.05, lambda: rung.append("late"))
    await asyncio.sleep(0.03)
    assert rung == []
    async with asyncio.timeout(10):
        while not rung:  # noqa: ASYNC110  # that is what is tested
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert rung == ["late"]


async def test_deadline_that_moves_nearer_is_kept() -> None:
    rung = asyncio.Event()
    deadline = Deadline(clock=asyncio.get_running_loop())
    deadline.set(3_600, lambda: None)
    deadline.set(0.01, rung.set)
    await asyncio.wait_for(rung.wait(), 10)
    deadline.close()


@pytest.mark.parametrize("end", ["clear", "close"])
async def test_deadline_that_is_over_never_rings(end: str) -> None:
    rung: list[str] = []
    deadline = Deadline(clock=asyncio.get_running_loop())
    deadline.set(0.01, lambda: rung.append("x"))
    getattr(deadline, end)()
    await asyncio.sleep(0.05)
    assert rung == []
