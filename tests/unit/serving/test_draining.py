import asyncio
import json
import signal
from typing import Any

from serving.draining import Draining, readiness_routes


class Rig:
    """An application that answers 200, with what leaves behind it."""

    def __init__(self, *, pause_s: float) -> None:
        self.sent: list[Any] = []
        self.begun = 0
        self.left: list[int] = []
        self.front = Draining(app=self._app, readiness=readiness_routes("m"), pause_s=pause_s, on_begin=self._begin)
        self.gone = asyncio.Event()
        self.signalled = self.front.handler(leave=self._leave, loop=asyncio.get_running_loop())

    def _leave(self, number: int, _frame: object) -> None:
        self.left.append(number)
        self.gone.set()

    def _begin(self) -> None:
        self.begun += 1

    async def _app(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def get(self, path: str) -> tuple[int, dict[bytes, bytes], bytes]:
        self.sent.clear()

        async def send(message: Any) -> None:
            self.sent.append(message)

        await self.front({"type": "http", "method": "GET", "path": path}, None, send)  # type: ignore[arg-type]
        start, content = self.sent
        return start["status"], dict(start["headers"]), content["body"]


async def test_readiness_falls_first_and_answers_close_their_connections() -> None:
    rig = Rig(pause_s=60)
    assert await rig.get("/v2/health/ready") == (200, {}, b"{}")
    rig.signalled(signal.SIGTERM, None)
    assert not rig.front.ready
    assert (rig.begun, rig.left) == (1, [])
    for path in ("/v2/health/ready", "/v2/models/m/ready", "/v1/models/m", "/v1/models/m/"):
        status, headers, body = await rig.get(path)
        assert (status, headers[b"retry-after"], headers[b"connection"]) == (503, b"1", b"close")
        assert json.loads(body)["code"] == "draining"
    status, headers, _ = await rig.get("/predict")
    assert (status, headers) == (200, {b"connection": b"close"})


async def test_the_port_closes_after_the_pause() -> None:
    rig = Rig(pause_s=0.01)
    rig.signalled(signal.SIGTERM, None)
    await asyncio.wait_for(rig.gone.wait(), timeout=20)
    assert rig.left == [signal.SIGTERM]


async def test_a_second_signal_or_an_interrupt_or_no_pause_leaves_at_once() -> None:
    for pause_s, signals in ((60, [signal.SIGTERM, signal.SIGTERM]), (60, [signal.SIGINT]), (0, [signal.SIGTERM])):
        rig = Rig(pause_s=pause_s)
        for each in signals:
            rig.signalled(each, None)
        assert rig.left == [signals[-1]]
