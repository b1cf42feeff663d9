"""How fast are hits? Ours (Redis only; with L1) between a stock KServe transformer and a bare ASGI application.

One request of three texts, server on one core, wrk and Redis on the other, enough connections to keep the server's core
busy while look-ups are under way, contestants in turn, medians over rounds; the ratios are taken round by round: a
machine that changes its speed changes both sides.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import measuring as m

sys.path[:0] = [str(m.ROOT / "tests")]
from support.redis_server import redis_server  # noqa: E402  # the tests' own way to a real Redis

TEXTS = ["I love this film", "I hate this film", "It was so so, really"]
OURS = ["-m", "transformer", "--model_name=sentiment", "--workers=1", "--enable_grpc=false"]


def post(url: str, body: dict[str, object]) -> str | None:
    """Post once; give ``x-cache``."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        cache: str | None = answer.headers["x-cache"]
        return cache


def main() -> None:
    """Run the rounds, print the table, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--connections", type=int, default=32)
    chosen = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = folder / "post.lua"
        body = json.dumps({"text": TEXTS}).replace("'", "\\'")
        script.write_text(
            f'wrk.method = "POST"\nwrk.body = \'{body}\'\nwrk.headers["Content-Type"] = "application/json"\n'
        )
        redis = stack.enter_context(redis_server(folder))
        os.sched_setaffinity(redis.pid, {1})  # another machine's work, as wrk's is
        predictor_port = m.free_port()
        predictor = m.python(
            "-m", "predictor", "--model_name=sentiment", f"--http_port={predictor_port}", "--enable_grpc=false"
        )
        stack.enter_context(m.process(predictor, ready=f"http://127.0.0.1:{predictor_port}/v2/health/ready"))
        urls: dict[str, str] = {}

        def serve(name: str, command: list[str], path: str, port: int, **env: str) -> None:
            ready = f"http://127.0.0.1:{port}/" if name == "bare ASGI" else f"http://127.0.0.1:{port}/v1/models"
            process = stack.enter_context(m.process(m.python(*command), env=env, ready=ready, cpus={0}))
            pids[name] = process.pid
            urls[name] = f"http://127.0.0.1:{port}{path}"

        pids: dict[str, int] = {}
        port = m.free_port()
        serve("bare ASGI", [str(Path(__file__).with_name("bare_asgi.py")), str(port)], "/predict", port)
        port = m.free_port()
        stock = [str(Path(__file__).with_name("stock_transformer.py")), f"--http_port={port}", "--enable_grpc=false"]
        serve("stock KServe", stock, "/v1/models/sentiment:predict", port)
        for name, env in (
            ("Redis only", {"TRANSFORMER_L1_ENTRIES": "0"}),
            ("with L1", {"TRANSFORMER_L1_TTL_S": "3600"}),
        ):
            port = m.free_port()
            more = [f"--predictor_host=127.0.0.1:{predictor_port}", f"--http_port={port}"]
            serve(
                name,
                [*OURS, *more],
                "/predict",
                port,
                TRANSFORMER_REDIS_URL=redis.url,
                TRANSFORMER_CACHE_TTL_S="3600",
                **env,
            )
        for name in ("Redis only", "with L1"):
            while post(urls[name], {"text": TEXTS}) != "hit":
                time.sleep(0.05)
        rounds: list[dict[str, m.Load]] = []
        for n in range(chosen.rounds + 1):
            this = {
                name: m.wrk(url, script, seconds=chosen.seconds, connections=chosen.connections, cpus="1")
                for name, url in urls.items()
            }
            if n:  # the first round warms up
                rounds.append(this)
        rows = []
        for name in urls:
            rps = [each[name].rps for each in rounds]
            to_stock = [each[name].rps / each["stock KServe"].rps for each in rounds]
            to_bare = [each[name].rps / each["bare ASGI"].rps for each in rounds]
            rows.append(
                {
                    "server": name,
                    "rps": round(m.median(rps)),
                    "p50_ms": round(m.median([each[name].p50_ms for each in rounds]), 2),
                    "p99_ms": round(m.median([each[name].p99_ms for each in rounds]), 2),
                    "times_stock": round(m.median(to_stock), 2),
                    "of_bare_asgi": round(m.median(to_bare), 3),
                    "failed": sum(each[name].failed for each in rounds),
                    "resident_mb": round(m.resident_mb(pids[name])),
                }
            )
    print(
        f"\nhits: {len(rounds)} rounds of {chosen.seconds:g} s, {chosen.connections} connections, 3 texts a request\n"
    )
    m.table(list(rows[0]), [list(row.values()) for row in rows])
    m.keep("bench-transformer-hits", rows)


if __name__ == "__main__":
    main()
