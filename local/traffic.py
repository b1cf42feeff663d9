"""A little traffic of every kind: hits, misses, partial hits, repeats, long texts, nonsense."""

import asyncio
import time
from collections.abc import Sequence

import aiohttp


async def send_all_kinds(url: str, *, seconds: float, pause_s: float = 0.1) -> None:
    """Post to ``/predict`` round after round until the time is over."""
    end = time.monotonic() + seconds
    turn = 0
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < end:
            turn += 1
            for texts in _round(turn):
                async with session.post(f"{url}/predict", json={"text": texts}) as answer:
                    await answer.read()
            await asyncio.sleep(pause_s)


def _round(turn: int) -> Sequence[list[str]]:
    return (
        ["always the same"],
        [f"new {turn}", "always the same"],
        [f"twice {turn}", f"twice {turn}"],
        [f"long {turn} " * 400] if turn % 5 == 0 else [f"short {turn}"],
        [""] if turn % 10 == 0 else ["always the same"],
    )
