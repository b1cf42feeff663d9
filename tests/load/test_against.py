"""The bench that compares two trees: the CPU time it reads, and what it makes of it."""

import subprocess
import sys
import time

from load.bench.against.__main__ import row
from load.bench.measuring import cpu_s

# Works in a second thread too, which is gone when its time is asked for; then waits.
WORKER = """
import sys, threading, time
def work():
    end = time.thread_time() + 0.1
    while time.thread_time() < end:
        pass
thread = threading.Thread(target=work)
thread.start(), thread.join(), work()
print(time.process_time(), flush=True)
sys.stdin.read()
"""


def test_cpu_time_of_another_process_is_what_that_process_says() -> None:
    with subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        said_s = float(worker.stdout.readline())
        time.sleep(0.1)
        read_s = cpu_s(worker.pid)
        worker.communicate()
    assert said_s >= 0.2
    assert said_s <= read_s < said_s + 0.05


def test_ratio_is_taken_round_by_round() -> None:
    # The machine was half as fast in the second round, for both.
    found = row("hit", [10.0, 20.0, 10.0], [9.0, 18.0, 9.0])
    assert found["here / base"] == 0.9
    assert found["base us"] == 10.0
    assert found["middle half of the rounds"] == "0.900 to 0.900"
