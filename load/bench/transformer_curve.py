"""What is a hit ratio worth? Requests/s at 0 to 100 % hits against 1 / (1 - h); what the transformer adds to a miss.

One text a request, 16 connections; misses are texts never sent before. Real predictor, real Redis. What is added to a
miss is measured with a core for the predictor and another for all else: pods do not take each other's CPU time.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import measuring as m
from transformer_hits import OURS, post

sys.path[:0] = [str(m.ROOT / "tests")]
from support.redis_server import redis_server  # noqa: E402  # the tests' own way to a real Redis

PREDICTOR = ["-m", "predictor", "--model_name=sentiment", "--enable_grpc=false"]
LONG_LIFE = {"TRANSFORMER_CACHE_TTL_S": "36000", "TRANSFORMER_L1_TTL_S": "36000"}
RATIOS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
HOT = [f"a hot text about film number {n} that many people ask for again and again" for n in range(100)]
# wrk runs this in its own process: hits are drawn from the hot texts, misses carry a number never used before.
LUA = """
local ratio, hot, run = %f, %d, "%s"
local hot_end, cold_end = " that many people ask for again and again", " that nobody has asked for before"
local n = 0
math.randomseed(%d)
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local function body(text)
  if %s then
    return '{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["' .. text .. '"]}]}'
  end
  return '{"text": ["' .. text .. '"]}'
end
request = function()
  if math.random() < ratio then
    local k = math.random(0, hot - 1)
    return wrk.format(nil, nil, nil, body("a hot text about film number " .. k .. hot_end))
  end
  n = n + 1
  return wrk.format(nil, nil, nil, body("a cold text about film number " .. run .. " " .. n .. cold_end))
end
"""


class Stack:
    """Redis, predictor and transformer, and a way to load them."""

    def __init__(self, running: contextlib.ExitStack, *, model: Path | None, apart: bool) -> None:
        self._folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        cores = sorted(os.sched_getaffinity(0)) if apart else []
        its, others = (cores[-1:], cores[:-1]) if len(cores) > 1 else ([], [])
        redis = running.enter_context(redis_server(self._folder))
        predictor_port, port = m.free_port(), m.free_port()
        running.enter_context(
            m.process(
                [*on(its), *m.python(*PREDICTOR, f"--http_port={predictor_port}")],
                env={"PREDICTOR_MODEL_DIR": str(model.resolve())} if model else {},
                ready=f"http://127.0.0.1:{predictor_port}/v2/health/ready",
            )
        )
        running.enter_context(
            m.process(
                [*on(others), *m.python(*OURS, f"--predictor_host=127.0.0.1:{predictor_port}", f"--http_port={port}")],
                env={"TRANSFORMER_REDIS_URL": redis.url, **LONG_LIFE},
                ready=f"http://127.0.0.1:{port}/v1/models",
            )
        )
        if others:
            os.sched_setaffinity(redis.pid, others)
        self._wrk_cores = ",".join(map(str, others)) or None
        self.transformer = f"http://127.0.0.1:{port}/predict"
        self.predictor = f"http://127.0.0.1:{predictor_port}/v2/models/sentiment/infer"
        while post(self.transformer, {"text": HOT}) != "hit":
            time.sleep(0.1)

    def load(self, ratio: float, *, seconds: int, url: str | None = None, connections: int = 16) -> m.Load:
        """Load with a hit ratio; the transformer unless another URL is given."""
        url = url or self.transformer
        script = self._folder / "mix.lua"
        tag = f"{os.getpid()}-{time.monotonic_ns()}"
        oip = str(url == self.predictor).lower()
        script.write_text(LUA % (ratio, len(HOT), tag, time.monotonic_ns() % 10**6, oip))
        return m.wrk(url, script, seconds=seconds, connections=connections, cpus=self._wrk_cores)


def on(cores: list[int]) -> list[str]:
    """Give the words that keep a command to some cores."""
    return ["taskset", "--cpu-list", ",".join(map(str, cores))] if cores else []


def curve_rounds(chosen: argparse.Namespace) -> list[dict[float, m.Load]]:
    """Load with every ratio in turn."""
    with contextlib.ExitStack() as running:
        stack = Stack(running, model=chosen.model, apart=False)
        stack.load(0.0, seconds=chosen.seconds)  # warms up
        return [{ratio: stack.load(ratio, seconds=chosen.seconds) for ratio in RATIOS} for _ in range(chosen.rounds)]


def miss_rounds(chosen: argparse.Namespace) -> list[tuple[m.Load, m.Load]]:
    """Ask the predictor alone and through the transformer in turn, one connection, nothing cached."""
    with contextlib.ExitStack() as running:
        stack = Stack(running, model=chosen.model, apart=True)

        def one(url: str) -> m.Load:
            return stack.load(0.0, seconds=chosen.seconds, url=url, connections=1)

        one(stack.transformer)  # warms up
        return [(one(stack.predictor), one(stack.transformer)) for _ in range(2 * chosen.rounds)]


def main() -> None:
    """Run the rounds, print the tables, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--model", type=Path, help="checkpoint directory; default: the one that ships")
    chosen = options.parse_args()
    rounds = curve_rounds(chosen)
    alone = miss_rounds(chosen)
    curve = []
    for ratio in RATIOS:
        rps = m.median([each[ratio].rps for each in rounds])
        times = m.median([each[ratio].rps / each[0.0].rps for each in rounds])
        law = 1 / (1 - ratio) if ratio < 1 else None
        curve.append(
            {
                "hit_ratio": ratio, "rps": round(rps), "times_0": round(times, 2),
                "law_1/(1-h)": round(law, 2) if law else "-", "of_law": round(times / law, 2) if law else "-",
                "p50_ms": round(m.median([each[ratio].p50_ms for each in rounds]), 2),
                "p99_ms": round(m.median([each[ratio].p99_ms for each in rounds]), 2),
                "failed": sum(each[ratio].failed for each in rounds),
            }
        )  # fmt: skip
    added = {
        "predictor_alone_p50_ms": round(m.median([a.p50_ms for a, _ in alone]), 3),
        "through_transformer_p50_ms": round(m.median([b.p50_ms for _, b in alone]), 3),
        "added_share": round(m.median([b.p50_ms / a.p50_ms - 1 for a, b in alone]), 3),
    }
    print(f"\nhit ratio: {chosen.rounds} rounds of {chosen.seconds:g} s, 16 connections, 1 text a request\n")
    m.table(list(curve[0]), [list(row.values()) for row in curve])
    print("a miss, one connection:\n")
    m.table(list(added), [list(added.values())])
    m.keep("bench-transformer-curve", {"model": str(chosen.model or "shipped"), "curve": curve, "miss": added})


if __name__ == "__main__":
    main()
