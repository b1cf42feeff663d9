"""Starts and stops the transformer's parts, in order."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI

from transformer.cache.in_force import InForceRecord
from transformer.cache.shards import ShardedCache
from transformer.errors import PredictorError
from transformer.pipeline.models import ModelsInForce
from transformer.pipeline.pipeline import Pipeline
from transformer.pipeline.predictor_client import PredictorClient

log = logging.getLogger(__name__)

_REDIS_START_S = 0.3  # a Redis that is up answers within this; one that is down must not delay the pod
_REDIS_FLUSH_S = 1.0
_LEARN_PAUSE_S = (0.2, 5.0)


class Lifespan:
    """Starts the parts before the port opens, stops them after the last answer, and learns which model is served.

    Args:
        predictor: asked for the model's version until it answers.
        pipeline: whose running forwards are awaited at the end.
        models: told the version.
        redis: None if the cache is only in the process.
        in_force: what other processes learnt; None without Redis.
    """

    def __init__(
        self,
        *,
        predictor: PredictorClient,
        pipeline: Pipeline,
        models: ModelsInForce,
        redis: ShardedCache | None,
        in_force: InForceRecord | None,
    ) -> None:
        self._predictor = predictor
        self._pipeline = pipeline
        self._models = models
        self._redis = redis
        self._in_force = in_force

    @contextlib.asynccontextmanager
    async def run(self, _: FastAPI) -> AsyncIterator[None]:
        """Run the parts, as FastAPI's lifespan context."""
        await self._predictor.start()
        if self._redis is not None:
            await self._redis.start(wait_s=_REDIS_START_S)
        await self._presume_version()
        learner = asyncio.create_task(self._learn_version(), name="learn-version")
        log.info("serving")
        try:
            yield
        finally:
            learner.cancel()
            await asyncio.gather(learner, return_exceptions=True)
            await self._pipeline.close()
            if self._redis is not None:
                await self._redis.stop(flush_s=_REDIS_FLUSH_S)
            await self._predictor.close()

    async def _learn_version(self) -> None:
        """Ask which model is served until the predictor answers: without it nothing can be looked up."""
        pause_s, longest_s = _LEARN_PAUSE_S
        while not self._models.confirmed:
            try:
                version, labels, scores_are = await self._predictor.metadata()
            except PredictorError:
                await self._presume_version()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, longest_s)
            else:
                if not self._models.confirmed:
                    self._models.adopt(self._models.model(version, labels, scores_are))

    async def _presume_version(self) -> None:
        """Use what other processes learnt, so that cached answers do not wait for the predictor."""
        if self._in_force is None or self._models.current is not None:
            return
        found = await self._in_force.read()
        if found is not None:
            self._models.presume(*found)
