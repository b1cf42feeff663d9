"""What does a look-up cost on one Redis, and on a cluster of one, two and three shards?

L1 is off; each request asks for three of a thousand cached texts. The contestants take turns, each in its own
transformer process on one core, wrk and the Redis servers on the other; what is compared is the transformer's own CPU
time for a request, round by round, as ratios to one Redis in the same round: a machine that changes its speed changes
both.

Then one shard alone is asked by its own protocol, in pipelines as the transformer sends them: what it carries a second,
and from the spread of a hundred thousand keys over the slots what a cluster of N shards does.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import measuring as m
from redis.crc import key_slot
from transformer_hits import OURS, post

sys.path[:0] = [str(m.ROOT / "tests")]
from support.redis_cluster import RedisCluster  # noqa: E402  # the tests' own way to real ones
from support.redis_rig import key_of  # noqa: E402
from support.redis_server import redis_server  # noqa: E402

TEXTS = [f"a text that is asked for, number {n}" for n in range(1_000)]
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local function text() return '"a text that is asked for, number ' .. math.random(0, 999) .. '"' end
request = function()
  local texts = text()
  for _ = 2, {texts} do texts = texts .. "," .. text() end
  return wrk.format(nil, nil, nil, '{{"text": [' .. texts .. ']}}')
end
"""


def asks(folder: Path, *, texts: int) -> Path:
    """Write the script by which wrk asks for so many of the texts at a time."""
    script = folder / f"post-{texts}.lua"
    script.write_text(_SCRIPT.format(texts=texts))
    return script


def warm_transformer(stack: contextlib.ExitStack, env: dict[str, str]) -> tuple[int, str]:
    """Start a transformer without L1 that finds every text in Redis; give its process id and its URL.

    The predictor that answers the first time has gone by then.
    """
    port, predictor_port = m.free_port(), m.free_port()
    predictor = m.python(
        "-m", "predictor", "--model_name=sentiment", f"--http_port={predictor_port}", "--enable_grpc=false"
    )
    command = m.python(*OURS, f"--predictor_host=127.0.0.1:{predictor_port}", f"--http_port={port}")
    env = {"TRANSFORMER_L1_ENTRIES": "0", "TRANSFORMER_CACHE_TTL_S": "7200", **env}
    with m.process(predictor, ready=f"http://127.0.0.1:{predictor_port}/v2/health/ready"):
        process = stack.enter_context(m.process(command, env=env, ready=f"http://127.0.0.1:{port}/v1/models", cpus={0}))
        url = f"http://127.0.0.1:{port}/predict"
        for start in range(0, len(TEXTS), 100):
            while post(url, {"text": TEXTS[start : start + 100]}) != "hit":
                time.sleep(0.05)
    return process.pid, url


def spent_s(pid: int, url: str, script: Path, *, seconds: int, connections: int = 32) -> tuple[float, float]:
    """Load a transformer from the other core; give its CPU seconds a request, and the requests a second."""
    before = m.cpu_s(pid)
    load = m.wrk(url, script, seconds=seconds, connections=connections, cpus="1")
    return (m.cpu_s(pid) - before) / (load.rps * seconds), load.rps


def shard_rps(port: int, *, seconds: float, keys: int = 30) -> float:
    """Give the keys a second that a Redis answers to pipelines of one MGET for each key."""
    words = [key_of(text) for text in TEXTS[:keys]]
    sent = b"".join(b"*2\r\n$4\r\nMGET\r\n$%d\r\n%b\r\n" % (len(word), word) for word in words)
    answered = 0
    with socket.create_connection(("127.0.0.1", port)) as link:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            # Several pipelines at once keep it busy while this process is.
            link.sendall(sent * 20)
            wanted, got = keys * 20, 0
            while got < wanted:
                got += link.recv(1 << 20).count(b"*1\r\n")
            answered += got
    return answered / seconds


def spread(shards: int) -> float:
    """Give the share of a hundred thousand keys that the fullest of N shards has, times N."""
    counts = Counter(key_slot(key_of(str(n))) * shards // 16_384 for n in range(100_000))
    return max(counts.values()) * shards / counts.total()


def capacity(one_carries: float) -> list[dict[str, object]]:
    """Give what N shards carry a second, each as much as one does, by the spread of keys over the slots."""
    return [
        {"shards": n, "fullest shard has": round(spread(n) / n, 3), "hits/s": round(n * one_carries / spread(n))}
        for n in (1, 2, 3, 6, 10)
    ]


def write_report(path: Path, rows: list[dict[str, object]], lines: list[dict[str, object]], *, rounds: int) -> None:
    """Write both tables as a page."""
    said = (
        f"CPU of one transformer, three texts a request, all of them hits in Redis; medians of {rounds} interleaved"
        " rounds, ratios round by round."
    )
    carried = (
        "What shards carry: one, asked in pipelines as a transformer asks, times the spread of a hundred thousand keys"
        " over the slots."
    )
    command = "make bench-transformer"
    m.report(path, title="Redis alone and in a cluster", command=command, parts={said: rows, carried: lines})


def main() -> None:
    """Run the rounds, print the tables, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=int, default=2)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--report", type=Path, help="write the tables as a page here")
    chosen = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = asks(folder, texts=3)
        single = stack.enter_context(redis_server(folder))
        urls, servers = {"one Redis": single.url}, [single]
        for shards in (1, 2, 3):
            (folder / str(shards)).mkdir()
            cluster = RedisCluster(folder=folder / str(shards))
            stack.callback(cluster.stop)
            cluster.start(primaries=shards)
            urls[f"cluster of {shards}"] = cluster.url
            servers += cluster.primaries
        for server in servers:
            os.sched_setaffinity(server.pid, {1})
        pids: dict[str, int] = {}
        asked: dict[str, str] = {}
        for name, url in urls.items():
            pids[name], asked[name] = warm_transformer(stack, {"TRANSFORMER_REDIS_URL": url})
        rounds: list[dict[str, tuple[float, float]]] = []
        for n in range(chosen.rounds + 1):
            this = {}
            for name, url in asked.items():
                this[name] = spent_s(pids[name], url, script, seconds=chosen.seconds, connections=chosen.connections)
            if n:  # the first round warms up
                rounds.append(this)
        rows = [
            {
                "cache": name,
                "us of CPU a request": round(1e6 * m.median([each[name][0] for each in rounds])),
                "to one Redis": round(m.median([each[name][0] / each["one Redis"][0] for each in rounds]), 3),
                "look-ups/s a core": round(m.median([3 / each[name][0] for each in rounds])),
                "rps": round(m.median([each[name][1] for each in rounds])),
            }
            for name in asked
        ]
        lines = capacity(m.median([shard_rps(single.port, seconds=chosen.seconds) for _ in range(chosen.rounds)]))
    print(f"\nhits in Redis: {len(rounds)} rounds of {chosen.seconds:g} s, {chosen.connections} connections\n")
    m.table(list(rows[0]), [list(row.values()) for row in rows])
    m.table(list(lines[0]), [list(line.values()) for line in lines])
    m.keep("bench-transformer-cluster", {"cpu": rows, "capacity": lines})
    if chosen.report:
        write_report(chosen.report, rows, lines, rounds=len(rounds))
    print(json.dumps(m.machine()))


if __name__ == "__main__":
    main()
