"""Fixtures that several folders of tests share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.predictor_double import PredictorDouble
from support.redis_server import RedisServer, redis_server


@pytest.fixture
async def predictor() -> AsyncIterator[PredictorDouble]:
    """A predictor that does as it is told, listening."""
    double = PredictorDouble()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A real, empty redis-server."""
    with redis_server(tmp_path) as server:
        yield server
