"""Entra ID's tokens on a cluster: every node is shown the first, and every connection the next."""

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.auth.token import SimpleToken
from redis.credentials import StreamingCredentialProvider
from support.certificates import certificate
from support.redis_cluster import RedisCluster, redis_cluster
from support.redis_rig import eventually

from transformer.cache import connections
from transformer.cache.connections import Connections
from transformer.cache.redis_cache import RedisCache
from transformer.cache.shards import ShardedCache
from transformer.metrics import RedisMetrics
from transformer.settings import Settings

KEYS = [b"sentiment:1:v:%d" % n for n in range(30)]


class Tokens(StreamingCredentialProvider):
    """Gives a token for a user, and later another, as the library of Entra ID does."""

    def __init__(self) -> None:
        self.value = "first"
        self.next: Callable[[Any], Awaitable[None]] | None = None

    def get_credentials(self) -> tuple[str, str]:
        return "cache", self.value

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()

    def on_next(self, callback: Callable[[Any], Any]) -> None:
        self.next = callback

    def on_error(self, callback: Callable[[Exception], Any]) -> None: ...

    def is_streaming(self) -> bool:
        return True


def allow(cluster: RedisCluster, *tokens: str) -> None:
    for node in cluster.primaries:
        with node.client() as link:
            link.execute_command(
                "ACL", "SETUSER", "cache", "on", "resetpass", *(f">{token}" for token in tokens), "~sentiment:*",
                "+@connection", "+mget", "+set", "+asking", "+cluster|slots",
            )  # fmt: skip


def logins(cluster: RedisCluster) -> list[int]:
    counts = []
    for node in cluster.primaries:
        with node.client() as link:
            counts.append(link.info("commandstats").get("cmdstat_auth", {}).get("calls", 0))
    return counts


async def test_cluster_with_tokens_over_tls_is_told_of_a_new_one_on_every_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens()
    monkeypatch.setattr(connections, "_entra", lambda _url: tokens)
    certificate_file, key_file = certificate(tmp_path, addresses=(), names=("localhost",))
    tls = (
        "--tls-cluster", "yes", "--tls-cert-file", str(certificate_file), "--tls-key-file", str(key_file),
        "--tls-ca-cert-file", str(certificate_file), "--tls-auth-clients", "no", "--tls-replication", "yes",
    )  # fmt: skip
    with redis_cluster(tmp_path, *tls, tls=True) as cluster:
        allow(cluster, "first", "second")
        metrics = RedisMetrics()
        settings = Settings.model_validate(
            {
                "redis_url": f"rediss://localhost:{cluster.primaries[0].tls_port}",
                "redis_auth": "entra",
                "redis_ca_file": certificate_file,
            }
        )
        cache = ShardedCache(
            connections=Connections(settings),
            topology="auto",
            make_cache=functools.partial(RedisCache, metrics=metrics, budget_s=2.0, ttl_s=60),
            metrics=metrics,
        )
        await cache.start(wait_s=5)
        try:

            async def all_found() -> bool:
                cache.store([(key, b"value") for key in KEYS])
                return await cache.fetch(KEYS) == [b"value"] * len(KEYS)

            await eventually(all_found)
            assert len(cache.shards) == 3
            before = logins(cluster)
            tokens.value = "second"
            assert tokens.next is not None
            await tokens.next(SimpleToken("second", 2**42, 0, {"oid": "cache"}))
            assert await cache.fetch(KEYS) == [b"value"] * len(KEYS)
            assert all(now > then for now, then in zip(logins(cluster), before, strict=True))
            assert not metrics.degraded
        finally:
            await cache.stop(flush_s=1)


def test_tokens_never_travel_without_tls() -> None:
    settings = Settings.model_validate({"redis_url": "redis://localhost", "redis_auth": "entra"})
    with pytest.raises(ValueError, match="TLS only"):
        Connections(settings)


@pytest.mark.parametrize("url", ["redis+sentinel://localhost:26379/mymaster", "sentinel://localhost"])
def test_sentinel_is_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(ValueError, match="Redis Sentinel is not served"):
        Connections(Settings.model_validate({"redis_url": url}))
