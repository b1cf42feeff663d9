"""What does a miss wait for? Ten clients in a closed loop, 95 % known requests, three new texts in each other one.

Every miss is followed from client to engine: the client's clock, the transformer's server-timing, a relay between the
two services and the predictor's server-timing each hold a part of it. The first table has the mean of all misses, of
the slowest fifth (where the 99th percentile of all requests lies), and of single misses on an idle service. The second
says what Little's law leaves room for: in a closed loop, clients = misses a second x (time of a miss + time of the hits
between two misses), so the mean of all misses follows from the rate, whatever the order they are served in. The third
simulates other orders and sizes of batch, with what forwards cost in this run.

    python -m load.bench.tail --model build/base-random      (make bench-tail)
"""

import argparse
import contextlib
import os
import re
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import uvloop

from load.bench import measuring as m
from load.bench.predictor_load import Seen, UniqueTexts
from load.bench.random_checkpoint import SAMPLE, sample_texts
from load.bench.tail.mix import PARTS, TEXTS, Mix, RefusedError, means, slowest
from load.bench.tail.orders import FIRST_COME, NEVER, Clients, Engine, simulate
from load.bench.tail.relay import Relay
from predictor.checkpoint.artifact import find_checkpoint
from predictor.checkpoint.tokenizer import TextTokenizer

CLIENTS = 10
KNOWN_SHARE = 0.95
IDLE_MISSES = 40
# Reading the weights takes as long as this many tokens do: between 25 and 40 for every precision.
FIXED_TOKENS = 30
ORDERS = ((1024, FIRST_COME), (256, FIRST_COME), (1024, 4), (384, 4), (256, 4), (256, 8), (256, NEVER))
# A machine that others use too can be slow enough for refusals, which would end the loop.
PATIENT = {"PREDICTOR_MAX_WAIT_S": "60", "PREDICTOR_DEADLINE_S": "60", "TRANSFORMER_PREDICTOR_TIMEOUT_S": "60"}
_METRIC = re.compile(
    r"^predictor_(inference_seconds_sum|inference_seconds_count|batch_tokens_sum) ([\d.e+]+)$", re.MULTILINE
)


def cpu_s(pid: int) -> float:
    """Give the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forwards(port: int) -> dict[str, float]:
    """Ask the predictor for the number of its forwards, their seconds and their tokens."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return {name: float(value) for name, value in _METRIC.findall(answer.read().decode())}


async def measure(
    options: argparse.Namespace, predictor_port: int, predictor_pid: int, stack: contextlib.ExitStack
) -> dict[str, Any]:
    """Start relay and transformer, warm up, look at idle misses, then at the mix."""
    relay = Relay(predictor_port)
    relay_port, port = await relay.start(), m.free_port()
    command = m.python("-m", "transformer", "--model_name=sentiment", "--workers=1", "--enable_grpc=false")
    command += [f"--predictor_host=127.0.0.1:{relay_port}", f"--http_port={port}"]
    # Being alive does not ask the predictor, so nothing here waits for the relay that runs in this thread.
    transformer = stack.enter_context(m.process(command, env=PATIENT, ready=f"http://127.0.0.1:{port}/v2/health/live"))
    pids = {"clients and relay": os.getpid(), "transformer": transformer.pid, "predictor": predictor_pid}
    sentences = sample_texts(options.texts)
    mix = Mix(port=port, relay=relay, texts=UniqueTexts(sentences), known=sentences[:TEXTS])
    await mix.run(clients=1, seconds=10, known_share=0.0, most=1)
    await mix.run(clients=CLIENTS, seconds=options.warm_up, known_share=KNOWN_SHARE)
    idle = await mix.run(clients=1, seconds=30, known_share=0.0, most=IDLE_MISSES)
    before, began_with = {name: cpu_s(pid) for name, pid in pids.items()}, forwards(predictor_port)
    began = time.perf_counter()
    seen = await mix.run(clients=CLIENTS, seconds=options.seconds, known_share=KNOWN_SHARE)
    took_s = time.perf_counter() - began
    cores = {f"cores: {name}": (cpu_s(pid) - before[name]) / took_s for name, pid in pids.items()}
    engine = {name: value - began_with[name] for name, value in forwards(predictor_port).items()}
    await relay.close()
    totals = [miss.total_ms for miss in seen.misses]
    cycle_ms, hits = CLIENTS * 1e3 * took_s / len(totals), sum(seen.hits_ms) / len(totals)
    figures = {
        "requests/s": (len(seen.hits_ms) + len(totals)) / took_s,
        "misses/s": len(totals) / took_s,
        "p99 of all, ms": seen.p99_ms(),
        "hit p50, ms": Seen.percentile(seen.hits_ms, 50),
        "hit p99, ms": Seen.percentile(seen.hits_ms, 99),
        "miss p50, ms": Seen.percentile(totals, 50),
        "miss p99, ms": Seen.percentile(totals, 99),
        "miss max, ms": max(totals),
        "miss mean, ms": sum(totals) / len(totals),
        "miss mean by Little's law, ms": cycle_ms - hits,
        "forwards/s": engine["inference_seconds_count"] / took_s,
        "tokens in a forward": engine["batch_tokens_sum"] / engine["inference_seconds_count"],
        "engine busy": engine["inference_seconds_sum"] / took_s,
        **cores,
    }
    parts = {"idle": means(idle.misses), "all": means(seen.misses), "slowest": means(slowest(seen.misses))}
    work_tokens = engine["batch_tokens_sum"] + FIXED_TOKENS * engine["inference_seconds_count"]
    hit_ms = sum(seen.hits_ms) / max(1, len(seen.hits_ms))
    return {
        "figures": figures,
        "parts": parts,
        "token_ms": engine["inference_seconds_sum"] * 1e3 / work_tokens,
        "hit_ms": hit_ms,
    }


def other_orders(options: argparse.Namespace, *, token_ms: float, hit_ms: float) -> list[dict[str, Any]]:
    """Simulate this load under other orders of the queue."""
    tokenizer = TextTokenizer(find_checkpoint(options.model), max_length_tokens=512)
    lengths = [len(each.ids) for each in tokenizer.encode(UniqueTexts(sample_texts(options.texts)).take(3000))]
    tokens = [sum(lengths[start : start + TEXTS]) for start in range(0, len(lengths), TEXTS)]
    clients = Clients(number=CLIENTS, known_share=KNOWN_SHARE, hit_ms=hit_ms, miss_tokens=tokens)
    rows = []
    for batch_tokens, passed_over in ORDERS:
        engine = Engine(
            fixed_ms=FIXED_TOKENS * token_ms, token_ms=token_ms, batch_tokens=batch_tokens, passed_over=passed_over
        )
        order = {FIRST_COME: "as they came", NEVER: "shortest first"}.get(
            passed_over, f"shortest first, passed over at most {passed_over} times"
        )
        found = {name: round(value, 1) for name, value in vars(simulate(engine, clients)).items()}
        rows.append({"order": order, "batch_tokens": batch_tokens, **found})
    return rows


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.tail", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=Path, default=SAMPLE)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--warm-up", type=float, default=5)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        port = m.free_port()
        ours = m.python("-m", "predictor", "--model_name=sentiment", f"--http_port={port}", "--enable_grpc=false")
        health = f"http://127.0.0.1:{port}/v2/health/ready"
        env = {"PREDICTOR_MODEL_DIR": str(options.model), **PATIENT}
        predictor = stack.enter_context(m.process(ours, env=env, ready=health))
        try:
            found = uvloop.run(measure(options, port, predictor.pid, stack))
        except RefusedError as error:
            sys.exit(f"bench-tail: {error}")
    rows = zip((*PARTS, "all together"), *found["parts"].values(), strict=True)
    print(f"\n{options.model}: {CLIENTS} clients, {KNOWN_SHARE:.0%} known, {options.seconds:g} s; means in ms\n")
    m.table(
        ("part of a miss", "idle", "mix, all", "mix, slowest fifth"),
        [(name, *(round(value, 2) for value in values)) for name, *values in rows],
    )
    m.table(("what", "value"), [(name, round(value, 2)) for name, value in found["figures"].items()])
    orders = other_orders(options, token_ms=found["token_ms"], hit_ms=found["hit_ms"])
    print("The same load, simulated: another order of the queue, another size of batches\n")
    m.table(list(orders[0]), [list(row.values()) for row in orders])
    m.keep(f"bench-tail-{options.model.name}", {"model": options.model.name, "part": PARTS, **found, "orders": orders})


if __name__ == "__main__":
    main()
