"""Stands in for Knative's queue-proxy: what it does, and in which order, when its pod is told to end.

Order, as in knative/serving's pkg/queue/sharedmain and its drain handler: the kubelet calls the container's preStop
hook, which asks queue-proxy to wait for the drain; from then on its readiness probe fails; it goes on serving; when no
request has come for a quiet period (30 s there) the hook returns; only then does the container get SIGTERM; when the
revision's timeout, which is the termination grace, has passed since the beginning, SIGKILL.
"""
# ruff: noqa: ASYNC110  # another process gives no event

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from support.processes import Server


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a pod ended: seconds since it was told to, its exit status, and whether it had to be killed."""

    last_request_s: float
    sigterm_s: float
    ended_s: float
    status: int
    killed: bool


class QueueProxy:
    """Proxies HTTP to one user container and ends it as Knative does.

    Args:
        process: the user container.
        quiet_s: without requests for so long, the drain is over.
        grace_s: the revision's timeout.
    """

    def __init__(self, *, process: Server, quiet_s: float, grace_s: float) -> None:
        self._process = process
        self._quiet_s = quiet_s
        self._grace_s = grace_s
        self._draining = False
        self._last_request_s = time.monotonic()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=1, keepalive_timeout=2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port."""
        await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def end_pod(self) -> Ending:
        """Do what happens when the pod is deleted."""
        told_s = time.monotonic()
        self._draining = True
        self._last_request_s = told_s
        while time.monotonic() - self._last_request_s < self._quiet_s and time.monotonic() - told_s < self._grace_s:
            await asyncio.sleep(0.02)
        sigterm_s = time.monotonic()
        process = self._process.process
        process.send_signal(signal.SIGTERM)
        killed = False
        left_s = max(0.0, told_s + self._grace_s - time.monotonic())
        try:
            async with asyncio.timeout(left_s):
                while process.poll() is None:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            process.kill()
            killed = True
        status = await asyncio.to_thread(process.wait, 10)
        return Ending(
            last_request_s=self._last_request_s - told_s,
            sigterm_s=sigterm_s - told_s,
            ended_s=time.monotonic() - told_s,
            status=status,
            killed=killed,
        )

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/v2/health/ready":
            return await self._probe()
        self._last_request_s = time.monotonic()
        url = f"{self._process.url}{request.path_qs}"
        async with self._session.request(request.method, url, data=await request.read()) as answer:
            hop = {"connection", "transfer-encoding", "content-length", "date", "server"}
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in hop}
            response = web.Response(status=answer.status, body=await answer.read(), headers=headers)
        if self._draining:
            # Envoy picks a pod per request and does not pick one that left; a client of a TCP balancer has to be told.
            response.force_close()
        return response

    async def _probe(self) -> web.Response:
        """Answer for the container's readiness probe, which runs here."""
        if self._draining:
            return web.Response(status=503, text="shutting down")
        with contextlib.suppress(aiohttp.ClientError):
            async with self._session.get(f"{self._process.url}/v2/health/ready") as answer:
                return web.Response(status=answer.status)
        return web.Response(status=503)
