"""The operator's command against a real Redis, a real cluster and a running service."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.predictor_double import PredictorDouble
from support.processes import environment
from support.redis_cluster import RedisCluster, redis_cluster
from support.redis_rig import all_stored, eventually, key_of, runner
from support.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]


def admin(url: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "transformer.cache_admin", *arguments]
    settings = environment(TRANSFORMER_REDIS_URL=url, PATH=os.environ["PATH"], **env)
    return subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)


def fill(nodes: list[RedisServer], place: RedisCluster | None, version: str, count: int) -> None:
    for n in range(count):
        key = key_of(f"text {n}", version)
        node = place.owner(key) if place else nodes[0]
        with node.client() as link:
            link.set(key, b"\x01" + bytes(8), ex=100)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path) as running:
        yield running


@pytest.mark.parametrize("kind", ["one", "cluster"])
def test_counts_samples_sizes_and_deletes_by_version(kind: str, request: pytest.FixtureRequest) -> None:
    place: RedisCluster | None = request.getfixturevalue("cluster") if kind == "cluster" else None
    nodes = place.primaries if place else [request.getfixturevalue("redis")]
    url = place.url if place else nodes[0].url
    fill(nodes, place, "old", 40)
    fill(nodes, place, "new", 25)
    said = admin(url, "stats", "--sample", "2")
    assert said.returncode == 0, said.stderr
    assert "version old: 40 entries" in said.stdout
    assert "version new: 25 entries" in said.stdout
    assert "entries: 65" in said.stdout
    assert "hit ratio" in said.stdout
    assert said.stdout.count("s left") == 2 * 2 * len(nodes)
    assert "1000000 entries need " in admin(url, "size", "1000000").stdout
    assert "deleted: 40" in admin(url, "delete", "old").stdout
    assert "entries: 25" in admin(url, "stats").stdout


def test_says_which_right_is_missing_and_refuses_patterns(redis: RedisServer) -> None:
    with redis.client() as link:
        link.execute_command("ACL", "SETUSER", "poor", "on", ">pw", "~*", "+@connection")
    login = {"TRANSFORMER_REDIS_USERNAME": "poor", "TRANSFORMER_REDIS_PASSWORD": "pw"}
    said = admin(redis.url, "stats", **login)
    assert said.returncode == 1
    assert said.stderr.strip().endswith("scan")
    assert admin(redis.url, "delete", "*").stderr.strip() == "a version is letters and digits"


def test_memory_of_entries_is_what_redis_then_uses(redis: RedisServer) -> None:
    with redis.client() as link:
        before = link.info("memory")["used_memory"]
        with link.pipeline(transaction=False) as pipe:
            for n in range(20_000):
                pipe.set(key_of(str(n)), b"\x01" + bytes(8), ex=100)
            pipe.execute()
        used = link.info("memory")["used_memory"] - before
    said = admin(redis.url, "size", "20000").stdout
    foretold = float(said.split("entries need ")[1].split(" MiB")[0]) * 2**20
    assert abs(foretold - used) < 0.25 * used


async def test_warms_the_cache_through_the_service(
    redis: RedisServer, predictor: PredictorDouble, tmp_path: Path
) -> None:
    texts = [f"line {n}" for n in range(100)]
    file = tmp_path / "texts"
    file.write_text("\n".join([*texts, "", texts[0]]))
    async with runner(predictor, tmp_path)(redis.url) as client:
        said = await asyncio.to_thread(admin, redis.url, "warm", str(file), "--url", client.url)
        assert said.returncode == 0, said.stderr
        assert "sent: 100 texts in 2 requests (2 miss)" in said.stdout
        await eventually(lambda: all_stored(redis, *texts))
