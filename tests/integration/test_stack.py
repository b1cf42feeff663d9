"""What `make run` runs: a real Redis, the real predictor with the model that ships, the real transformer."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.processes import REPO, environment

from local.ports import free_port

SEED_REQUEST = {"text": ["I hate you.", "I love you."]}


class Stack:
    """A running stack and what it said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int, predictor_port: int) -> None:
        self.process = process
        self.log = log
        self.port = port
        self.predictor_port = predictor_port

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, words: str, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while words not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def post(self, body: object, path: str = "/predict") -> tuple[dict[str, str], object]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}, json.loads(answer.read())

    def pid_of(self, child: str) -> int:
        line = next(line for line in self.said().splitlines() if f"{child} started (pid=" in line)
        return int(line.rsplit("pid=", 1)[1].rstrip(")"))


@contextmanager
def stack(tmp_path: Path, **env: str) -> Iterator[Stack]:
    port, predictor_port = free_port(), free_port()
    log = tmp_path / "stack.log"
    ports = {"PORT": str(port), "PREDICTOR_PORT": str(predictor_port)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "local/stack.py"], cwd=REPO, env=environment(**{**ports, **env}), stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield Stack(process, log, port, predictor_port)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(40)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_seeds_request_is_answered_and_cached_and_ctrl_c_ends_everything(tmp_path: Path) -> None:
    with stack(tmp_path) as running:
        running.wait_for("serving on http://localhost:")
        assert f"curl -s localhost:{running.port}/predict" in running.said()
        headers, first = running.post(SEED_REQUEST)
        assert headers["x-cache"] == "miss"
        best = [prediction[0]["label"] for prediction in first["predictions"]]  # type: ignore[index]
        assert best == ["NEGATIVE", "POSITIVE"]
        for prediction in first["predictions"]:  # type: ignore[index]
            assert abs(sum(pair["score"] for pair in prediction) - 1) < 1e-6
        headers, second = running.post(SEED_REQUEST)
        assert headers["x-cache"] == "hit"
        assert second == first
        headers, _ = running.post({"text": ["word " * 2_000]})
        assert headers["x-truncated"] == "1"
        for name in ("redis", "predictor", "transformer"):
            os.kill(running.pid_of(name), 0)
        running.process.send_signal(signal.SIGINT)
        running.process.wait(40)
        assert not listening(running.port)
        assert not listening(running.predictor_port)


def test_ten_texts_of_which_nine_are_cached_reach_the_predictor_as_one(tmp_path: Path) -> None:
    def texts_seen(running: Stack) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{running.predictor_port}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        return float(next(line for line in page.splitlines() if line.startswith("predictor_texts_total")).split()[-1])

    texts = [f"film number {n} was a delight" for n in range(10)]
    with stack(tmp_path) as running:
        running.wait_for("serving on")
        running.post({"text": texts[:9]})
        before = texts_seen(running)
        headers, _ = running.post({"text": texts})
        assert headers["x-cache"] == "partial"
        assert texts_seen(running) - before == 1


def test_body_of_exactly_the_limit_is_answered(tmp_path: Path) -> None:
    texts = ["film " * 1_999 + str(n) for n in range(104)]
    room = (1 << 20) - len(json.dumps({"text": [*texts, ""]}, separators=(",", ":")))
    with stack(tmp_path) as running:
        running.wait_for("serving on")
        body = json.dumps({"text": [*texts, "x" * room]}, separators=(",", ":")).encode()
        assert len(body) == 1 << 20
        request = urllib.request.Request(f"http://127.0.0.1:{running.port}/predict", body)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200


def test_busy_port_ends_the_stack_with_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with stack(tmp_path, PORT=str(port)) as running:
            assert running.process.wait(30) == 1
            assert f"port {port} is in use" in running.said()


def test_dead_child_ends_the_stack_and_is_named(tmp_path: Path) -> None:
    with stack(tmp_path) as running:
        running.wait_for("serving on")
        os.kill(running.pid_of("predictor"), signal.SIGKILL)
        assert running.process.wait(40) != 0
        assert "predictor ended" in running.said()
        assert not listening(running.port)


def test_broken_checkpoint_ends_the_stack_with_the_reason(tmp_path: Path) -> None:
    with stack(tmp_path, PREDICTOR_MODEL_DIR=str(tmp_path)) as running:
        assert running.process.wait(60) != 0
        assert "config.json" in running.said()


def test_without_any_redis_the_process_cache_serves(tmp_path: Path) -> None:
    with stack(tmp_path, REDIS_SERVER="none") as running:
        running.wait_for("serving on")
        assert "cached in the process alone" in running.said()
        running.post(SEED_REQUEST)
        headers, _ = running.post(SEED_REQUEST)
        assert headers["x-cache"] == "hit"
