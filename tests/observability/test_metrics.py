"""The metrics themselves: conventions, the generated pages, and figures that follow what happens."""

import asyncio
import itertools
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from observability.catalogue import service_families
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from support.processes import REPO

from local.docs import pages
from local.running import Ports, running_stack
from predictor.batching.batcher import Batcher
from predictor.batching.job import Job
from predictor.checkpoint.tokenizer import Encoded
from predictor.metrics import Metrics
from serving.throttling import Throttling

FAMILIES = [family for family in service_families(CollectorRegistry()) if not family.name.endswith("_created")]
SERVICES = ("predictor", "transformer")
LABELS = {"route", "status", "outcome", "operation", "reason", "code", "version", "engine", "precision", "le"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder: Path = tmp_path_factory.mktemp("stack")
    with running_stack(folder) as ports:
        wait_for_version(ports)
        yield ports


def wait_for_version(ports: Ports) -> None:
    """The transformer serves before it knows the model: its version is a series of its own."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.transformer}/health", timeout=5) as answer:
            if json.loads(answer.read())["model_version"]:
                return
        time.sleep(0.05)
    raise AssertionError("the transformer never learnt the model's version")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_follow_the_conventions(family: object) -> None:
    name, kind = family.name, family.type  # type: ignore[attr-defined]
    assert re.fullmatch(r"(transformer|predictor)_[a-z0-9_]+", name)
    assert not re.search(r"_(ms|milliseconds|minutes|kb|mb)(_|$)", name), "base units"
    assert not name.endswith("_total"), "the exposition adds it"
    if kind == "histogram":
        assert name.endswith(("_seconds", "_texts", "_tokens"))
    assert family.documentation.endswith(".")  # type: ignore[attr-defined]


def test_buckets_resolve_a_hit_of_three_tenths_of_a_millisecond() -> None:
    (family,) = [family for family in FAMILIES if family.name == "transformer_request_seconds"]
    bounds = sorted({float(sample.labels["le"]) for sample in family.samples if sample.name.endswith("_bucket")})
    around = [bound for bound in bounds if 0.0001 <= bound <= 0.001]
    assert len(around) >= 4
    assert all(later / earlier <= 2.5 for earlier, later in itertools.pairwise(around))
    assert bounds[-2] >= 10


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.parent.name)
def test_pages_say_what_the_code_does(path: Path) -> None:
    assert path.read_text() == pages()[path], "run `make docs`"


def test_served_metrics_are_the_documented_ones(stack: Ports) -> None:
    for service, port in (("transformer", stack.transformer), ("predictor", stack.predictor)):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            served = list(text_string_to_metric_families(answer.read().decode()))
        own = {family.name for family in served if family.name.startswith(f"{service}_")}
        documented = re.findall(rf"^\| `({service}_\w+)` ", (REPO / service / "README.md").read_text(), re.MULTILINE)
        assert {name for name in own if not name.endswith("_created")} == {
            name.removesuffix("_total") for name in documented
        }


def own_series(ports: Ports) -> set[tuple[str, str]]:
    """Give name and labels of every series the two services export."""
    found = set()
    for port in (ports.transformer, ports.predictor):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                if family.name.startswith(("transformer_", "predictor_")):
                    found |= {(sample.name, repr(sorted(sample.labels.items()))) for sample in family.samples}
                    assert all(set(sample.labels) <= LABELS for sample in family.samples), family.name
    return found


def visit(ports: Ports, path: str) -> None:
    """Get a page from both, whatever the answer."""
    for port in (ports.transformer, ports.predictor):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
        except urllib.error.HTTPError as refused:
            refused.close()


def test_strangers_make_no_new_series(stack: Ports) -> None:
    paths = ("/{}", "/v1/{}", "/v2/{}", "/v2/models/{}/infer", "/v1/models/{}:predict", "/docs/{}")
    for path in paths:
        visit(stack, path.format("first"))
    before = own_series(stack)
    for number in range(20):
        for path in paths:
            visit(stack, path.format(number))
    assert own_series(stack) - before == set()


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("place", "stat", "throttled_s"),
    [
        ("cpu.stat", "usage_usec 9\nnr_periods 40\nnr_throttled 3\nthrottled_usec 2500000\n", 2.5),
        ("cpu,cpuacct/cpu.stat", "nr_periods 40\nnr_throttled 3\nthrottled_time 2500000000\n", 2.5),
        ("cpu/cpu.stat", "nr_periods 40\nnr_throttled 3\nthrottled_time 500000000\n", 0.5),
    ],
)
def test_throttling_is_read_from_either_cgroup_version(
    tmp_path: Path, service: str, place: str, stat: str, throttled_s: float
) -> None:
    path = tmp_path / "sys/fs/cgroup" / place
    path.parent.mkdir(parents=True)
    path.write_text(stat)
    families = Throttling(service=service, root=tmp_path).collect()
    assert {sample.name: sample.value for family in families for sample in family.samples} == {
        f"{service}_cpu_periods_total": 40,
        f"{service}_cpu_throttled_periods_total": 3,
        f"{service}_cpu_throttled_seconds_total": throttled_s,
    }


@pytest.mark.parametrize("service", SERVICES)
def test_without_a_quota_there_is_nothing_to_say(tmp_path: Path, service: str) -> None:
    path = tmp_path / "sys/fs/cgroup/cpu.stat"
    path.parent.mkdir(parents=True)
    path.write_text("usage_usec 9\n")
    assert [
        sample for family in Throttling(service=service, root=tmp_path).collect() for sample in family.samples
    ] == []


class ShutEngine:
    """Takes one forward and keeps it until it is let go."""

    name, precision, arithmetic, threads = "fake", "f32", "fake-f32", 1

    def __init__(self) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()

    def divide(self, lengths: list[int]) -> list[list[int]]:
        return [list(range(len(lengths)))]

    def forward(self, ids: list[np.ndarray]) -> np.ndarray:
        self.entered.set()
        assert self.gate.wait(10)
        return np.zeros((len(ids), 2), np.float32)


async def test_queue_age_and_padding_follow_the_queue() -> None:
    registry, engine = CollectorRegistry(), ShutEngine()
    batcher = Batcher(
        engine=engine,
        max_batch_tokens=64,
        max_queue_tokens=640,
        max_wait_s=1e9,
        tokens_per_s=1e9,
        metrics=Metrics(registry=registry),
    )
    batcher.start()

    def job(*lengths: int) -> Job:
        made = Job(
            texts=["x"] * len(lengths),
            deadline_s=time.monotonic() + 30,
            future=asyncio.get_running_loop().create_future(),
        )
        made.encoded = [Encoded(ids=np.ones(length, np.int32), truncated=False) for length in lengths]
        return made

    assert registry.get_sample_value("predictor_queue_age_seconds") == 0
    first, second = job(4), job(10, 2)
    batcher.put(first)
    await asyncio.to_thread(engine.entered.wait, 10)
    batcher.put(second)
    await asyncio.sleep(0.2)
    age_s = registry.get_sample_value("predictor_queue_age_seconds")
    assert age_s is not None
    assert age_s >= 0.2
    engine.gate.set()
    await asyncio.gather(first.future, second.future)
    batcher.close()
    assert registry.get_sample_value("predictor_queue_age_seconds") == 0
    # 1 x 4, then 2 x 10, of which 4 + 12 are tokens.
    assert registry.get_sample_value("predictor_grid_tokens_total") == 24
    assert registry.get_sample_value("predictor_batch_tokens_sum") == 16
