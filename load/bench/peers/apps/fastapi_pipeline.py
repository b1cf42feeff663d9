"""FastAPI, pydantic, a Hugging Face pipeline in worker threads, and whole requests cached in Redis for three minutes.

The cache decorates a function, not the route: on a route fastapi-cache2 keeps answers to GET alone.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_cache import FastAPICache
from fastapi_cache.backends.redis import RedisBackend
from fastapi_cache.decorator import cache
from pydantic import BaseModel
from redis import asyncio as redis
from transformers import pipeline

CACHE_TTL_S = 180

scores = pipeline("text-classification", model=os.environ["PEER_MODEL"], top_k=None)


class Request(BaseModel):
    """Texts to classify."""

    text: list[str]


class Score(BaseModel):
    """One label's score."""

    label: str
    score: float


class Response(BaseModel):
    """Every text's scores."""

    predictions: list[list[Score]]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Connect to Redis."""
    FastAPICache.init(RedisBackend(redis.from_url(os.environ["PEER_REDIS_URL"])), prefix="peer")
    yield


app = FastAPI(lifespan=lifespan)


@cache(expire=CACHE_TTL_S)
def classify(texts: list[str]) -> list[list[dict[str, object]]]:
    """Classify in one of the framework's worker threads."""
    found: list[list[dict[str, object]]] = scores(texts)
    return found


@app.get("/health")
async def health() -> dict[str, str]:
    """Say that the model is loaded."""
    return {"status": "healthy"}


@app.post("/predict")
async def predict(request: Request) -> Response:
    """Answer from the cache or the model."""
    return Response.model_validate({"predictions": await classify(request.text)})
