"""What people see of `make run` and `make demo`."""

import asyncio
import itertools
import os
import pty
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import REPO, environment

from local import ports
from local.console import readable
from local.demo import table
from local.ports import free_port
from local.running import Ports, running_stack

REQUEST = (
    '{"time":"2026-01-01T00:00:00.000Z","level":"info","logger":"access","message":"request",'
    '"method":"POST","route":"/predict","status":200,"outcome":"hit","ms":0.123,"request_id":"a-1"}'
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder: Path = tmp_path_factory.mktemp("stack")
    with running_stack(folder) as ports:
        yield ports


def test_a_free_port_is_given_once_and_to_no_outgoing_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [free_port() for _ in range(50)]
    assert len(set(given)) == len(given)
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range")
    assert max(given) < (int(outgoing.read_text().split()[0]) if outgoing.exists() else 32_768)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "_candidates", itertools.count(port - ports.PORTS.start))
        assert free_port() != port


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (REQUEST, "200      0.12 ms  hit      POST /predict"),
        ('{"level":"info","logger":"predictor","message":"loaded","version":"abc"}', "loaded (version: abc)"),
        ('{"level":"warning","message":"redis is away"}', "WARNING redis is away"),
        ('{"level":"error","message":"failed","traceback":"Traceback: x"}', "ERROR failed\nTraceback: x"),
        ("plain words", "plain words"),
        ("[1, 2]", "[1, 2]"),
    ],
)
def test_log_lines_are_put_into_words(line: str, words: str) -> None:
    assert readable(line) == words


def test_demo_shows_the_seeds_answer_and_a_table(stack: Ports) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.demo", stack.url], cwd=REPO, env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "x-cache: miss" in done.stdout
    assert "x-cache: hit" in done.stdout
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[-4:]}
    assert set(rows) == {"cache", "hit", "miss", "all"}
    assert int(rows["hit"][0]) + int(rows["miss"][0]) == int(rows["all"][0]) > 0


def test_demo_says_when_nobody_answers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.demo", f"http://127.0.0.1:{free_port()}"], cwd=REPO, env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no answer" in done.stderr


def test_table_counts_everything_once() -> None:
    lines = table({"hit": [1.0, 2.0], "miss": [10.0]}, 2.0).splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["hit", "2", "1"], ["miss", "1", "0"], ["all", "3", "2"]]


def test_stack_has_the_playground(stack: Ports) -> None:
    with urllib.request.urlopen(f"{stack.url}/playground", timeout=5) as answer:
        assert b"Sentiment playground" in answer.read()


def test_terminal_gets_a_line_a_request() -> None:
    """On a terminal the requests are shown; `test_stack` runs it without one."""
    port = free_port()
    main, terminal = pty.openpty()
    env = environment(PORT=str(port), PREDICTOR_PORT=str(free_port()))
    process = subprocess.Popen([sys.executable, "local/stack.py"], cwd=REPO, env=env, stdout=terminal, stderr=terminal)
    os.close(terminal)
    try:
        said = asyncio.run(asyncio.wait_for(asyncio.to_thread(_until, main, b"or ask"), 90))
        body = b'{"text": ["fine"]}'
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/predict", body, timeout=10) as answer:
            assert answer.status == 200
        said += asyncio.run(asyncio.wait_for(asyncio.to_thread(_until, main, b"POST /predict\r\n"), 20))
    finally:
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            _drain(main)
        os.close(main)
    assert b"ms  miss" in said


def _until(main: int, words: bytes) -> bytes:
    said = b""
    while words not in said:
        said += os.read(main, 65_536)
    return said


def _drain(main: int) -> None:
    # A full terminal would keep the stack from ending.
    try:
        os.read(main, 65_536)
    except OSError:
        time.sleep(0.05)
