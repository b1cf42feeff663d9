"""The base's Redis, started for real by the script and configuration that the ConfigMap carries."""

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from manifests.objects import Document, Render, of_kind, the
from redis.exceptions import NoPermissionError
from support.processes import environment
from support.redis_server import executable

from local.ports import free_port
from transformer.cache.connections import Connections
from transformer.cache.redis_client import RedisClient
from transformer.settings import Settings

PASSWORD = "0123456789abcdef"


def config(documents: list[Document]) -> dict[str, str]:
    (one,) = [
        entry for entry in of_kind(documents, "ConfigMap") if entry["metadata"]["name"].startswith("sentiment-redis-")
    ]
    data: dict[str, str] = one["data"]
    return data


def launch(folder: Path, documents: list[Document], port: int, **variables: str) -> "subprocess.Popen[bytes]":
    """Start what the pod's command starts, on a port of the test's own."""
    for name, text in config(documents).items():
        (folder / name).write_text(text)
    with (folder / "redis.conf").open("a") as file:
        file.write(f"port {port}\nbind 127.0.0.1\ndir {folder}\n")
    container = the(documents, "Deployment", "sentiment-redis")["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["/bin/sh", "/etc/redis/start.sh"]
    path = f"{Path(executable()).parent}:/usr/bin:/bin"
    command = ["/bin/sh", str(folder / "start.sh"), str(folder / "redis.conf")]
    return subprocess.Popen(
        command, env=environment(**variables) | {"PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@contextlib.contextmanager
def running(folder: Path, documents: list[Document]) -> Iterator[int]:
    port = free_port()
    with launch(folder, documents, port, REDIS_PASSWORD=PASSWORD) as process:
        try:
            wait_for(port, process)
            yield port
        finally:
            process.kill()


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(process.communicate()[0].decode())


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, rendered: Render) -> Iterator[int]:
    with running(tmp_path_factory.mktemp("redis"), rendered("base")) as it:
        yield it


async def test_transformer_works_with_the_rights_it_has(port: int) -> None:
    made = Connections(Settings(redis_url=f"redis://127.0.0.1:{port}/0", redis_password=PASSWORD))
    client = RedisClient(pool=made.pool(), address=made.address)
    try:
        await client.probe_read()
        await client.probe_write()
        await client.set_all([(b"sentiment:1:v:a", b"1", 60_000), (b"sentiment:1:v:b", b"2", 60_000)])
        assert await client.mget([b"sentiment:1:v:a", b"sentiment:1:v:none", b"sentiment:1:v:b"]) == [b"1", None, b"2"]
    finally:
        await client.close()


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "maxmemory", "0"), ("SHUTDOWN",),
        ("ACL", "LIST"), ("EVAL", "return 1", "0"), ("SET", "other:key", "1"), ("GET", "other:key"),
        ("SUBSCRIBE", "x"), ("INFO",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_transformer_may_do_nothing_else(port: int, command: tuple[str, ...]) -> None:
    with redis.Redis(port=port, password=PASSWORD) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


def test_exporter_sees_statistics_and_no_key(port: int) -> None:
    with redis.Redis(port=port, username="exporter", password=PASSWORD) as client:
        assert client.info()["redis_version"]
        assert client.config_get("maxmemory")
        client.slowlog_len()
        client.execute_command("LATENCY", "LATEST")
        with pytest.raises(NoPermissionError):
            client.get("sentiment:1:v:a")


def test_nobody_enters_without_the_password(port: int) -> None:
    with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
        client.get("sentiment:1:v:a")
    with redis.Redis(port=port, password="guess") as client, pytest.raises(redis.AuthenticationError):
        client.get("sentiment:1:v:a")


def test_password_is_not_on_the_command_line(port: int, tmp_path: Path, rendered: Render) -> None:
    with running(tmp_path, rendered("base")):
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _is_redis(path)]
        assert lines
        assert not any(PASSWORD.encode() in line for line in lines)


def _is_redis(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return b"redis-server" in path.read_bytes()
    return False


def test_missing_password_stops_the_start_with_a_sentence(tmp_path: Path, rendered: Render) -> None:
    with launch(tmp_path, rendered("base"), free_port()) as process:
        said = process.communicate(timeout=10)[0].decode()
    assert process.returncode != 0
    assert "sentiment-cache has no redis-password" in said


def test_it_is_a_bounded_cache_without_a_disk(port: int, rendered: Render) -> None:
    with redis.Redis(port=port, username="exporter", password=PASSWORD) as client:
        settings = client.config_get("*")
    assert settings["maxmemory-policy"] == "allkeys-lfu"
    assert settings["save"] == ""
    assert settings["appendonly"] == "no"
    limit = the(rendered("base"), "Deployment", "sentiment-redis")["spec"]["template"]["spec"]["containers"][0][
        "resources"
    ]["limits"]["memory"]
    match = re.fullmatch(r"(\d+)Mi", limit)
    assert match
    # Fragmentation and connections need what is left.
    assert int(settings["maxmemory"]) <= 0.65 * int(match[1]) * 2**20


def test_it_leaves_at_once_when_told(tmp_path: Path, rendered: Render) -> None:
    free = free_port()
    with launch(tmp_path, rendered("base"), free, REDIS_PASSWORD=PASSWORD) as process:
        wait_for(free, process)
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert not list(tmp_path.glob("*.rdb"))


def test_redis_is_gone_where_azure_brings_one(rendered: Render) -> None:
    documents = rendered("base", "managed-redis")
    names = {(document["kind"], document["metadata"]["name"]) for document in documents}
    assert not {name for name in names if "sentiment-redis" in name[1]}
