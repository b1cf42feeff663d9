"""What is a hit ratio worth? Requests/s at 0 to 100 % hits against 1 / (1 - h); what the transformer adds to a miss.

One text a request, 16 connections; misses are texts never sent before. Real predictor, real Redis.
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


def main() -> None:
    """Run the rounds, print the tables, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--model", type=Path, help="checkpoint directory; default: the one that ships")
    chosen = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(redis_server(folder))
        predictor_port, port = m.free_port(), m.free_port()
        env = {"PREDICTOR_MODEL_DIR": str(chosen.model.resolve())} if chosen.model else {}
        stack.enter_context(
            m.process(
                m.python(*PREDICTOR, f"--http_port={predictor_port}"),
                env=env, ready=f"http://127.0.0.1:{predictor_port}/v2/health/ready",
            )
        )  # fmt: skip
        stack.enter_context(
            m.process(
                m.python(*OURS, f"--predictor_host=127.0.0.1:{predictor_port}", f"--http_port={port}"),
                env={"TRANSFORMER_REDIS_URL": redis.url, **LONG_LIFE},
                ready=f"http://127.0.0.1:{port}/v1/models",
            )
        )  # fmt: skip
        ours, direct = (
            f"http://127.0.0.1:{port}/predict",
            f"http://127.0.0.1:{predictor_port}/v2/models/sentiment/infer",
        )
        while post(ours, {"text": HOT}) != "hit":
            time.sleep(0.1)

        def load(ratio: float, *, url: str = ours, connections: int = 16) -> m.Load:
            script = folder / "mix.lua"
            tag = f"{os.getpid()}-{time.monotonic_ns()}"
            script.write_text(LUA % (ratio, len(HOT), tag, time.monotonic_ns() % 10**6, str(url == direct).lower()))
            return m.wrk(url, script, seconds=chosen.seconds, connections=connections)

        load(0.0)  # warms up
        rounds = [{ratio: load(ratio) for ratio in RATIOS} for _ in range(chosen.rounds)]
        alone = [(load(0.0, url=direct, connections=1), load(0.0, connections=1)) for _ in range(2 * chosen.rounds)]
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
