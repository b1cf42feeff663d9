"""A predictor for tests of the transformer: speaks the Open Inference Protocol over real HTTP and does as it is told.

Scores follow from the text and the version, so that a wrong, swapped or mixed answer shows.
"""

import asyncio
import json
import struct
import zlib
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle

from aiohttp import web

LABELS = ("NEGATIVE", "POSITIVE")


def scores(text: str, version: str) -> tuple[float, float]:
    """Give the float32 scores this predictor answers for a text."""
    positive = (zlib.crc32(f"{version}|{text}".encode()) % 9_999 + 1) / 10_001
    pair: tuple[float, float] = struct.unpack("<2f", struct.pack("<2f", 1 - positive, positive))
    return pair


def prediction(text: str, version: str) -> list[dict[str, object]]:
    """Give what a client should get for a text, to compare after a float32 round trip."""
    return sorted(
        ({"label": label, "score": score} for label, score in zip(LABELS, scores(text, version), strict=True)),
        key=lambda pair: -float(pair["score"]),  # type: ignore[arg-type]
    )


class PredictorDouble:
    """An HTTP server whose behaviour is set by its attributes.

    Attributes:
        versions: model versions, taken in turn by one call after another.
        delay_s: seconds a call takes.
        calls: the texts of every inference call, in order.
        headers: the headers of every inference call, in order.
        intercept: when set, answers inference calls instead; None from it means: go on.
        truncates: texts reported as truncated.
        scores_are: what it says its scores are; None as an older predictor, which does not say.
    """

    def __init__(self, *, versions: Sequence[str] = ("v1",), model_name: str = "sentiment") -> None:
        self.versions = versions
        self.delay_s = 0.0
        self.calls: list[list[str]] = []
        self.headers: list[dict[str, str]] = []
        self.intercept: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
        self.truncates: set[str] = set()
        self.scores_are: str | None = None
        self._turn = cycle(range(1_000_000))
        self._model_name = model_name
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen on ``port``, or on a free one."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post(f"/v2/models/{self._model_name}/infer", self._infer)
        app.router.add_get(f"/v2/models/{self._model_name}", self._metadata)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port or self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def host(self) -> str:
        """Give ``host:port``."""
        return f"127.0.0.1:{self.port}"

    def forwarded(self) -> list[str]:
        """Give every text this predictor was asked for, in order."""
        return [text for call in self.calls for text in call]

    def _version(self) -> str:
        return self.versions[next(self._turn) % len(self.versions)]

    async def _metadata(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "name": self._model_name,
                "versions": [self._version()],
                "properties": {"labels": json.dumps(LABELS), **self._about_scores()},
            }
        )

    def _about_scores(self) -> dict[str, str]:
        return {} if self.scores_are is None else {"scores_are": self.scores_are}

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        said = json.loads(await request.read())
        texts = said["inputs"][0]["data"]
        self.calls.append(texts)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        version = self._version()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.intercept is not None:
            answer = await self.intercept(request)
            if answer is not None:
                return answer
        rows = [scores(text, version) for text in texts]
        truncated = [i for i, text in enumerate(texts) if text in self.truncates]
        return web.json_response(
            {
                "model_name": self._model_name,
                "model_version": version,
                "parameters": {
                    "labels": json.dumps(LABELS), "truncated": json.dumps(truncated), **self._about_scores(),
                },
                "outputs": [
                    {"name": "label", "datatype": "BYTES", "shape": [len(texts)],
                     "data": [LABELS[int(row[1] > row[0])] for row in rows]},
                    {"name": "scores", "datatype": "FP32", "shape": [len(texts), 2],
                     "data": [score for row in rows for score in row]},
                ],
            }
        )  # fmt: skip
