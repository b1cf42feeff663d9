"""Asks the predictor over HTTP (Open Inference Protocol, JSON) within a deadline; maps what goes wrong to errors."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import orjson
from aiohttp.connector import Connection

from serving.foreign import whole_number
from serving.http.reply import Headers
from serving.scores import ScoresAre
from transformer.errors import (
    PredictorError,
    PredictorFailedError,
    PredictorNonsenseError,
    PredictorRefusedError,
    PredictorTimeoutError,
    PredictorUnavailableError,
    VersionConflictError,
)
from transformer.metrics import Metrics
from transformer.names import Names, Resolver
from transformer.pipeline.ports import Scored
from transformer.pipeline.predictor_answers import merge, read_metadata, read_scored

# What a trace and a request id need to cross this hop (W3C Trace Context, Zipkin B3).
FORWARDED_HEADERS = frozenset({
    b"x-request-id", b"traceparent", b"tracestate", b"baggage", b"b3",
    b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags",
})  # fmt: skip
_CONNECT_TIMEOUT_S = 1.0
_KEEP_ALIVE_S = 30.0  # below every server's and proxy's, so that this side closes idle connections
_RETRY_PAUSE_S = (0.02, 0.1)
_VERSION_ROUNDS = 4
_LONGEST_RETRY_AFTER_S = 60
# How the 503 of Knative's queue-proxy and activator begins when their queue is full; it has no `Retry-After`.
_KNATIVE_QUEUE_FULL = b"pending request queue full"
# Never a predictor's own: a proxy lost what is behind it. KServe's agent, which stands in the pod itself, outlives the
# server of a pod that goes, and keeps its connections.
_BAD_GATEWAY = 502
_METADATA_TIMEOUT = aiohttp.ClientTimeout(total=2.0)


class _Response(aiohttp.ClientResponse):
    """Knows its connection for longer than the library does, which hands it back to the pool at the answer's end."""

    _transport: asyncio.Transport | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        self._transport = connection.transport
        return await super().start(connection)

    def hang_up(self) -> None:
        """Close the connection, so that the pool gives it to nobody."""
        if self._transport is not None:
            self._transport.close()


class PredictorClient:
    """Calls one predictor address.

    Args:
        base_url: ``http://host[:port]`` without a path.
        model_name: the model's name on the predictor.
        timeout_s: longest a call may take, retry included.
        max_texts: texts one HTTP request may carry; longer calls are split and merged in order.
        connections: most concurrent calls; further ones are refused at once, so that no queue grows here.
        metrics: where calls are counted.
        names: knows the predictor's addresses.
    """

    _session: aiohttp.ClientSession
    _fresh: aiohttp.ClientSession

    def __init__(
        self,
        *,
        base_url: str,
        model_name: str,
        timeout_s: float,
        max_texts: int,
        connections: int,
        metrics: Metrics,
        names: Names | None = None,
    ) -> None:
        self._connections = connections
        self._calls = 0
        self._infer_url = f"{base_url}/v2/models/{model_name}/infer"
        self._metadata_url = f"{base_url}/v2/models/{model_name}"
        self._timeout_s = timeout_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_TIMEOUT_S)
        self._max_texts = max_texts
        self._metrics = metrics
        self._names = names or Names()

    async def start(self) -> None:
        """Open the pool on the running loop; connects to nothing yet."""
        self._session = self._open(keepalive_timeout=_KEEP_ALIVE_S)
        self._fresh = self._open(force_close=True)

    def _open(self, **options: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, ttl_dns_cache=30, resolver=Resolver(self._names), **options
            ),
            timeout=self._timeout,
            response_class=_Response,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )

    async def close(self) -> None:
        """Close the pool."""
        await self._session.close()
        await self._fresh.close()

    async def score(self, texts: Sequence[str], headers: Headers) -> Scored:
        """Get every text's scores, all from one model version.

        Args:
            texts: at least one.
            headers: the request's; trace headers and the request id are passed on.

        Raises:
            PredictorError: see ``transformer.errors``.
            VersionConflictError: the parts of a split call kept coming from different versions.
        """
        started = time.perf_counter()
        error: str | None = None
        self._calls += 1
        try:
            if self._calls > self._connections:
                raise PredictorUnavailableError("Too many requests are waiting for the predictor.")
            async with asyncio.timeout(self._timeout_s):
                return await self._score_parts(texts, headers, deadline=started + self._timeout_s)
        except TimeoutError:
            error = PredictorTimeoutError.code
            raise PredictorTimeoutError from None
        except (PredictorError, VersionConflictError) as failure:
            error = failure.code
            raise
        finally:
            self._calls -= 1
            self._metrics.predictor(seconds=time.perf_counter() - started, error=error)

    async def metadata(self) -> tuple[str, list[str], ScoresAre]:
        """Get the model version, its labels and its kind of scores from the predictor.

        Raises:
            PredictorError: it is down or answers nonsense.
        """
        status, _, body = await self._exchange(self._session, "GET", self._metadata_url, {}, None, _METADATA_TIMEOUT)
        if status != 200:
            raise _error_of(status, None)
        return read_metadata(body)

    async def _score_parts(self, texts: Sequence[str], headers: Headers, *, deadline: float) -> Scored:
        size = self._max_texts
        parts = [texts[i : i + size] for i in range(0, len(texts), size)]
        if len(parts) == 1:
            return await self._infer(texts, headers, deadline)
        done = list(await asyncio.gather(*(self._infer(part, headers, deadline) for part in parts)))
        for _ in range(_VERSION_ROUNDS):
            version = done[-1].version
            stale = [i for i, scored in enumerate(done) if scored.version != version]
            if not stale:
                return merge(done, size)
            again = await asyncio.gather(*(self._infer(parts[i], headers, deadline) for i in stale))
            for i, scored in zip(stale, again, strict=True):
                done[i] = scored
        raise VersionConflictError

    async def _infer(self, texts: Sequence[str], headers: Headers, deadline: float) -> Scored:
        tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
        body = orjson.dumps({"inputs": [tensor]})
        sent = {n.decode("latin-1"): v.decode("latin-1") for n, v in headers if n in FORWARDED_HEADERS}
        sent["content-type"] = "application/json"
        for attempt in (1, 2):
            left_s = deadline - time.perf_counter()
            sent["x-request-timeout-ms"] = str(max(1, int(left_s * 1000)))
            try:
                # If one pooled connection was stale, others may be: the second try opens a new one.
                session = self._session if attempt == 1 else self._fresh
                status, retry_after, answer = await self._exchange(session, "POST", self._infer_url, sent, body)
            except PredictorUnavailableError:
                if attempt == 2 or left_s < 2 * _RETRY_PAUSE_S[1]:
                    raise
            else:
                if status == 200:
                    return read_scored(answer, texts=len(texts))
                # A full queue would only get longer; a proxy that found no pod, or lost it, may have one now.
                full = retry_after is not None or answer.startswith(_KNATIVE_QUEUE_FULL)
                if status not in (_BAD_GATEWAY, 503) or full or attempt == 2 or left_s < 2 * _RETRY_PAUSE_S[1]:
                    raise _error_of(status, retry_after)
            await asyncio.sleep(random.uniform(*_RETRY_PAUSE_S))  # noqa: S311  # jitter
        raise PredictorUnavailableError

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109  # aiohttp's own kind
    ) -> tuple[int, str | None, bytes]:
        try:
            async with session.request(
                method, url, data=body, headers=headers, timeout=timeout or self._timeout
            ) as response:
                answer = await response.read()
                if response.status == _BAD_GATEWAY and isinstance(response, _Response):
                    response.hang_up()
                return response.status, response.headers.get("retry-after"), answer
        except aiohttp.ConnectionTimeoutError:
            raise PredictorUnavailableError from None
        except TimeoutError:
            raise PredictorTimeoutError from None
        except aiohttp.ClientConnectionError:
            # Refused, reset, or closed before the whole answer: scoring twice does no harm, so this may be retried.
            raise PredictorUnavailableError from None
        except aiohttp.ClientPayloadError:
            raise PredictorUnavailableError from None
        except aiohttp.ClientError:
            raise PredictorNonsenseError from None


def _error_of(status: int, retry_after: str | None) -> PredictorError:
    if status in (429, 503):
        seconds = whole_number(retry_after) if retry_after is not None else None
        return PredictorUnavailableError(
            "The predictor is overloaded.", retry_after_s=max(1, min(seconds or 1, _LONGEST_RETRY_AFTER_S))
        )
    if status == 504:
        return PredictorTimeoutError()
    if 400 <= status < 500:
        return PredictorRefusedError(status=status)
    if status == 500:
        return PredictorFailedError()
    return PredictorNonsenseError()
