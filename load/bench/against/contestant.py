"""One tree's transformer with its own predictor, and what a request costs them."""

import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, Self

import load.bench.measuring as m

KINDS = ("hit", "hit through ASGI", "miss")
_TEXTS = ["I love this film", "I hate this film", "It was so so, really"]
# A target with a query is none of the short way's.
_PATHS = {"hit": "/predict", "hit through ASGI": "/predict?asgi", "miss": "/predict"}
_HIT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '%s'
"""
_MISS = """
local n = 0
request = function()
  n = n + 1
  local body = '{"text": ["nobody has asked about film number %s ' .. n .. ' before"]}'
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, body)
end
"""


class Cost(NamedTuple):
    """Of a request: microseconds of CPU time in each process; and how many requests of the load failed."""

    transformer_us: float
    predictor_us: float
    failed: int


class Contestant:
    """A tree under load; a context that runs its processes.

    Args:
        tree: a checkout.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as running:
            self._folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
            predictor_port, port = m.free_port(), m.free_port()
            predictor = ["-m", "predictor", "--model_name=sentiment", f"--http_port={predictor_port}"]
            transformer = [
                *("-m", "transformer", "--model_name=sentiment", "--workers=1", f"--http_port={port}"),
                f"--predictor_host=127.0.0.1:{predictor_port}",
            ]
            self._predictor = running.enter_context(
                m.process(
                    m.python(*predictor, "--enable_grpc=false"),
                    ready=f"http://127.0.0.1:{predictor_port}/v2/health/ready",
                    folder=self._tree,
                )
            )
            self._transformer = running.enter_context(
                m.process(
                    m.python(*transformer, "--enable_grpc=false"),
                    env={"TRANSFORMER_L1_TTL_S": "3600", "TRANSFORMER_CACHE_TTL_S": "3600"},
                    ready=f"http://127.0.0.1:{port}/v1/models",
                    folder=self._tree,
                )
            )
            self._url = f"http://127.0.0.1:{port}"
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def load(self, kind: str, *, seconds: int, connections: int) -> Cost:
        """Ask for a while; give what a request cost."""
        script = self._folder / "load.lua"
        if kind == "miss":
            script.write_text(_MISS % f"{os.getpid()} {time.monotonic_ns()}")
        else:
            script.write_text(_HIT % json.dumps({"text": _TEXTS}))
        processes = self._transformer, self._predictor
        before = [m.cpu_s(process.pid) for process in processes]
        load = m.wrk(self._url + _PATHS[kind], script, seconds=seconds, connections=connections)
        if not load.requests:
            sys.exit(f"not one {kind} of {self._tree} was answered within {seconds} s")
        spent_us = [1e6 * (m.cpu_s(p.pid) - start) for p, start in zip(processes, before, strict=True)]
        return Cost(*(us / load.requests for us in spent_us), failed=load.failed)
