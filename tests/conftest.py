"""Fixtures that several folders of tests share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
from support.predictor_double import PredictorDouble
from support.redis_server import RedisServer, redis_server

# Tests assert no wall-clock speed, and machines are busy.
hypothesis.settings.register_profile("untimed", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")


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
