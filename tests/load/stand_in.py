"""A small server with the service's contract, for tests of the load kit: honest by default, flawed on request.

Flaws, by environment variable: STAND_IN_CACHE=liar (every answer claims a hit) or silent (no header);
STAND_IN_BUSY_EVERY=n (each n-th miss is a 503); STAND_IN_API_KEY and STAND_IN_HOST (required when set);
STAND_IN_MISS_MS (time of a miss); STAND_IN_UNSORTED=1 (the worst label first).
"""

import asyncio
import hashlib
import json
import os
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BODY_LIMIT_BYTES = 1_048_576


class StandIn:
    """Scores are made from the text's hash; every text asked for once is cached for good."""

    def __init__(self, *, flaws: dict[str, str]) -> None:
        self.cached: set[str] = set()
        self.misses = 0
        self.cache = flaws.get("STAND_IN_CACHE", "honest")
        self.busy_every = int(flaws.get("STAND_IN_BUSY_EVERY", "0"))
        self.miss_s = float(flaws.get("STAND_IN_MISS_MS", "0")) / 1000
        self.unsorted = flaws.get("STAND_IN_UNSORTED") == "1"
        self.api_key = flaws.get("STAND_IN_API_KEY")
        self.host = flaws.get("STAND_IN_HOST")

    async def predict(self, request: Request) -> Response:
        if self.api_key is not None and request.headers.get("x-api-key") != self.api_key:
            return error(401, "unauthorized", "The API key is missing or wrong.")
        if self.host is not None and request.headers["host"] != self.host:
            return error(404, "not_found", "No route for this host.")
        body = await request.body()
        if len(body) > BODY_LIMIT_BYTES:
            return error(413, "too_large", "The body is too large.")
        texts = texts_of(body)
        if texts is None:
            return error(422, "invalid_request", "The body breaks the schema.")
        known = [text in self.cached for text in texts]
        if not all(known):
            self.misses += 1
            if self.busy_every and self.misses % self.busy_every == 0:
                return error(503, "overloaded", "Try again later.", {"retry-after": "1"})
            await asyncio.sleep(self.miss_s)
        self.cached.update(texts)
        predictions = [self.scores_of(text) for text in texts]
        return JSONResponse({"predictions": predictions}, headers=self.headers_of(known))

    def scores_of(self, text: str) -> list[dict[str, Any]]:
        positive = hashlib.sha256(text.encode()).digest()[0] / 256
        scores = [{"label": "POSITIVE", "score": positive}, {"label": "NEGATIVE", "score": 1 - positive}]
        return sorted(scores, key=lambda each: each["score"], reverse=not self.unsorted)

    def headers_of(self, known: list[bool]) -> dict[str, str]:
        outcome = "hit" if all(known) else "partial" if any(known) else "miss"
        version = {"x-model-version": "0123456789abcdef"}
        if self.cache == "silent":
            return version
        return {**version, "x-cache": "hit" if self.cache == "liar" else outcome}


def texts_of(body: bytes) -> list[str] | None:
    """Give the texts of a sound request, else None."""
    try:
        request = json.loads(body.decode())
    except (UnicodeDecodeError, json.JSONDecodeError):
        return None
    if not isinstance(request, dict) or set(request) != {"text"} or not isinstance(request["text"], list):
        return None
    texts = request["text"]
    sound = all(isinstance(text, str) and text.strip() and len(text) <= 10_000 and encodable(text) for text in texts)
    return texts if sound and 1 <= len(texts) <= 128 else None


def encodable(text: str) -> bool:
    """Tell whether the text is free of lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def error(status: int, code: str, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": sentence, "code": code}, status_code=status, headers=headers)


async def health(_: Request) -> Response:
    return JSONResponse({"status": "healthy"})


async def refused(_: Request, reason: Exception) -> Response:
    status = reason.status_code if isinstance(reason, HTTPException) else 500
    return error(status, "not_found" if status == 404 else "method_not_allowed", "There is nothing here.")


def main() -> None:
    stand_in = StandIn(flaws=dict(os.environ))
    app = Starlette(
        routes=[
            Route("/predict", stand_in.predict, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
        ],
        exception_handlers={404: refused, 405: refused},
    )
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
