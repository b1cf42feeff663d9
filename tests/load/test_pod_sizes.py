"""The bench of pod sizes: what it adds up over several predictors."""

import signal
import subprocess
import sys

from support.processes import REPO, Server

sys.path.append(str(REPO / "load" / "bench"))
from load.bench.pod_sizes import Contestant, load, measure


async def test_clients_are_spread_over_the_predictors_and_every_answer_counts(honest: Server) -> None:
    targets = tuple(load.Target(f"{honest.url}/predict", "text") for _ in range(2))
    texts = load.UniqueTexts(["one", "two"])
    rate, seen = await measure(Contestant("pair", (), targets), texts, clients=3, size=2, seconds=0.5)
    assert seen.failed == 0
    assert len(seen.answered_ms) >= 3
    assert rate > 0
    # Every request had texts of its own.
    assert texts.take(1)[0].split()[-1] == str(2 * len(seen.answered_ms))


async def test_one_client_asks_one_predictor(honest: Server) -> None:
    nobody = load.Target("http://127.0.0.1:9/predict", "text")
    targets = (load.Target(f"{honest.url}/predict", "text"), nobody)
    _, seen = await measure(Contestant("pair", (), targets), load.UniqueTexts(["a"]), clients=1, size=1, seconds=0.2)
    assert seen.answered_ms


def test_signals_reach_every_process() -> None:
    running = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2)]
    Contestant("pair", tuple(running), ()).send(signal.SIGTERM)
    assert [process.wait(20) for process in running] == [-signal.SIGTERM, -signal.SIGTERM]
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
