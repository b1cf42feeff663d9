"""A balancer in front of several predictors, as Knative's activator or Envoy is: the less busy of two random ones.

``python -m load.capacity.balancer PORT UPSTREAM...`` forwards every request unchanged; it stands in for the cluster's
routing when the local stack runs more than one predictor.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

HOP_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "keep-alive"}
BODY_LIMIT_BYTES = 4 * 1024 * 1024


class Balancer:
    """Forwards requests to upstreams (``host:port``), counting what each has in flight."""

    def __init__(self, *, upstreams: list[str]) -> None:
        self._in_flight = dict.fromkeys(upstreams, 0)
        self._session: aiohttp.ClientSession

    def app(self) -> web.Application:
        """Make the application."""
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        app.router.add_route("*", "/{path:.*}", self.forward)
        app.cleanup_ctx.append(self._client)
        return app

    async def forward(self, request: web.Request) -> web.Response:
        """Send one request to an upstream and its answer back."""
        upstream = self._pick()
        self._in_flight[upstream] += 1
        try:
            async with self._session.request(
                request.method,
                f"http://{upstream}{request.rel_url}",
                headers={name: value for name, value in request.headers.items() if name.lower() not in HOP_HEADERS},
                data=await request.read(),
            ) as answer:
                headers = {n: v for n, v in answer.headers.items() if n.lower() not in HOP_HEADERS}
                return web.Response(status=answer.status, body=await answer.read(), headers=headers)
        except aiohttp.ClientError:
            return web.json_response({"error": "The upstream is gone.", "code": "upstream_unavailable"}, status=503)
        finally:
            self._in_flight[upstream] -= 1

    def _pick(self) -> str:
        names = list(self._in_flight)
        if len(names) == 1:
            return names[0]
        # Not a secret: the choice only spreads load.
        first, second = random.sample(names, 2)
        return first if self._in_flight[first] <= self._in_flight[second] else second

    async def _client(self, _: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60), auto_decompress=False
        ) as self._session:
            yield
        await asyncio.sleep(0)


if __name__ == "__main__":
    web.run_app(Balancer(upstreams=sys.argv[2:]).app(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
