"""The transformer with a real Redis Cluster: every shard is used, and a shard in trouble costs only its own keys."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest
from redis.crc import key_slot
from support.certificates import certificate
from support.predictor_double import PredictorDouble
from support.redis_cluster import RedisCluster, in_step, is_primary, node_id, redis_cluster, wait_for
from support.redis_rig import (
    LoggedClient,
    Run,
    assert_right,
    degraded,
    eventually,
    hits,
    key_of,
    lookup_ms,
    runner,
)
from support.redis_server import RedisServer

# A crowded machine must not make a miss of what is a hit.
PATIENT = {"TRANSFORMER_REDIS_BUDGET_MS": "2000"}
TEXTS = tuple(f"text {n}" for n in range(60))


@pytest.fixture
def run(predictor: PredictorDouble, tmp_path: Path) -> Run:
    return runner(predictor, tmp_path)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path) as running:
        yield running


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path, replicas=True) as running:
        yield running


async def all_hit(client: LoggedClient, *texts: str) -> bool:
    answer = await client.predict(*texts)
    assert_right(answer, *texts)
    return answer.headers["x-cache"] == "hit"


async def state(client: LoggedClient, name: str) -> float:
    return await client.metric(f'transformer_redis_shards{{state="{name}"}}')


def of_shard(cluster: RedisCluster, node: RedisServer) -> list[str]:
    return [text for text in TEXTS if cluster.owner(key_of(text)) is node]


def not_of_shard(cluster: RedisCluster, node: RedisServer) -> list[str]:
    return [text for text in TEXTS if cluster.owner(key_of(text)) is not node]


async def test_every_shard_is_used_and_a_second_process_hits(
    run: Run, cluster: RedisCluster, predictor: PredictorDouble
) -> None:
    async with run(cluster.url) as client:
        await eventually(lambda: all_hit(client, *TEXTS))
        assert await state(client, "ok") == 3
        assert await degraded(client) == 0
        for node in cluster.primaries:
            with node.client() as link:
                assert all(link.exists(key_of(text)) for text in of_shard(cluster, node))
    calls = len(predictor.calls)
    async with run(cluster.url) as client:
        assert await all_hit(client, *TEXTS)
    assert len(predictor.calls) == calls


async def test_lookups_of_one_tick_are_one_round_trip_per_shard(run: Run, cluster: RedisCluster) -> None:
    reads = 'transformer_redis_seconds_count{operation="read"}'
    async with run(cluster.url) as client:
        await eventually(lambda: all_hit(client, *TEXTS))
        before = await client.metric(reads)
        assert await all_hit(client, *TEXTS)
        assert await client.metric(reads) == before + 3


async def test_dead_shard_costs_only_its_keys(run: Run, cluster: RedisCluster) -> None:
    lost = cluster.primaries[1]
    async with run(cluster.url, **PATIENT) as client:
        await eventually(lambda: all_hit(client, *TEXTS))
        lost.kill()
        for _ in range(10):
            assert await all_hit(client, *not_of_shard(cluster, lost))
            answer = await client.predict(*TEXTS)
            assert_right(answer, *TEXTS)
            assert answer.headers["x-cache"] == "partial"
        assert await state(client, "unreachable") == 1
        assert await state(client, "ok") == 2
        assert await degraded(client) == 1
        (line,) = [each for each in client.said("redis_state") if each["state"] == "unreachable"]
        assert line["shard"] == f"127.0.0.1:{lost.port}"
        lost.start()
        await eventually(lambda: all_hit(client, *TEXTS))
        assert await degraded(client) == 0


async def test_stopped_shard_costs_the_budget_until_its_breaker_opens(run: Run, cluster: RedisCluster) -> None:
    stopped = cluster.primaries[2]
    async with run(cluster.url) as client:
        await eventually(lambda: all_hit(client, *TEXTS))
        stopped.signal(SIGSTOP)
        waits = []
        for _ in range(20):
            answer = await client.predict(*TEXTS)
            assert_right(answer, *TEXTS)
            waits.append(lookup_ms(answer))
        assert max(waits) < 50 + 200
        assert sum(wait >= 50 for wait in waits) <= 5
        assert await all_hit(client, *not_of_shard(cluster, stopped))
        assert await state(client, "slow") == 1
        stopped.signal(SIGCONT)
        await eventually(lambda: all_hit(client, *TEXTS))


async def test_full_shard_keeps_what_it_has_and_the_others_take_more(run: Run, cluster: RedisCluster) -> None:
    full = cluster.primaries[0]
    old, new = TEXTS[:30], TEXTS[30:]
    async with run(cluster.url, **PATIENT) as client:
        await eventually(lambda: all_hit(client, *old))
        with full.client() as link:
            link.config_set("maxmemory-policy", "noeviction")
            link.config_set("maxmemory", "1")
            await client.predict(*new)
            others = [text for text in new if text in not_of_shard(cluster, full)]
            await eventually(lambda: all_hit(client, *others))
            assert await state(client, "out_of_memory") == 1
            assert await all_hit(client, *old)
            link.config_set("maxmemory", "0")
        await eventually(lambda: all_hit(client, *TEXTS))


async def test_failed_over_primary_brings_its_hits_back(run: Run, replicated: RedisCluster) -> None:
    lost, heir = replicated.primaries[1], replicated.replicas[1]
    async with run(replicated.url, **PATIENT) as client:
        await eventually(lambda: all_hit(client, *TEXTS))
        wait_for(lambda: heir_has(heir, of_shard(replicated, lost)), "the replica has not got the answers")
        lost.kill()
        others = not_of_shard(replicated, lost)
        while not await asyncio.to_thread(is_primary, heir):
            assert await all_hit(client, *others)
        # The replica kept the answers: from when the cluster has a new primary they are hits again.
        assert await eventually(lambda: all_hit(client, *TEXTS)) < 5
        assert await degraded(client) == 0
        await asyncio.to_thread(lost.start)
        wait_for(lambda: in_step(lost), "the lost node did not come back")
        assert await all_hit(client, *TEXTS)


def heir_has(heir: RedisServer, texts: list[str]) -> bool:
    with heir.client() as link:
        return all(key_of(text) in set(link.keys()) for text in texts)


async def test_failover_by_hand_under_load_loses_nothing(run: Run, replicated: RedisCluster) -> None:
    async with run(replicated.url) as client:
        await eventually(lambda: all_hit(client, *TEXTS))
        with replicated.replicas[0].client() as link:
            link.execute_command("CLUSTER", "FAILOVER")
        while not await asyncio.to_thread(is_primary, replicated.replicas[0]):
            assert_right(await client.predict(*TEXTS), *TEXTS)
        await eventually(lambda: all_hit(client, *TEXTS), within_s=5)
        assert await eventually(lambda: not_degraded(client)) < 5


async def not_degraded(client: LoggedClient) -> bool:
    return await degraded(client) == 0


async def test_resharding_under_load_keeps_every_hit_and_nodes_come_and_go(run: Run, cluster: RedisCluster) -> None:
    source = cluster.primaries[0]
    moving = sorted({key_slot(key_of(text)) for text in of_shard(cluster, source)})
    async with run(cluster.url, **PATIENT) as client:
        await eventually(lambda: all_hit(client, *TEXTS))
        fresh = cluster.node()
        await asyncio.to_thread(cluster.join, fresh)
        reshard = asyncio.create_task(asyncio.to_thread(cluster.move, moving, source, fresh, pause_s=0.05))
        n = 0
        while not reshard.done():
            answer = await client.predict(*TEXTS, f"new {n}")
            assert_right(answer, *TEXTS, f"new {n}")
            n += 1
        await reshard
        assert n > 1
        await eventually(lambda: all_hit(client, *TEXTS))
        with fresh.client() as link:
            assert all(link.exists(key_of(text)) for text in of_shard(cluster, source))
        assert await eventually(lambda: has_shards(client, 4)) < 5
        # And back: a node without slots is spoken to no more, and may go.
        await asyncio.to_thread(cluster.move, moving, fresh, source)
        await eventually(lambda: all_hit(client, *TEXTS))
        await eventually(lambda: has_shards(client, 3))
        fresh.kill()
        assert await all_hit(client, *TEXTS)
        assert await degraded(client) == 0


async def has_shards(client: LoggedClient, count: int) -> bool:
    return await state(client, "ok") == count


async def test_slot_on_the_move_is_asked_for_in_both_places(run: Run, cluster: RedisCluster) -> None:
    source, target = cluster.primaries[:2]
    gone, kept = of_shard(cluster, source)[:2]
    slots = {text: key_slot(key_of(text)) for text in (gone, kept)}
    async with run(cluster.url, **PATIENT) as client:
        await eventually(lambda: all_hit(client, gone, kept))
        for text in (gone, kept):
            with source.client() as out, target.client() as into:
                into.execute_command("CLUSTER", "SETSLOT", slots[text], "IMPORTING", node_id(source))
                out.execute_command("CLUSTER", "SETSLOT", slots[text], "MIGRATING", node_id(target))
                if text == gone:
                    out.execute_command("MIGRATE", "127.0.0.1", target.port, key_of(gone), 0, 1_000)
        for _ in range(5):
            assert await all_hit(client, gone, kept)
        assert await degraded(client) == 0


async def test_cluster_that_does_not_serve_says_so_and_is_mended(run: Run, tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as cluster:
        for node in cluster.primaries:
            with node.client() as link:
                link.config_set("cluster-require-full-coverage", "yes")
        async with run(cluster.url) as client:
            await eventually(lambda: all_hit(client, *TEXTS))
            cluster.primaries[2].kill()

            async def two_down() -> bool:
                assert_right(await client.predict(*TEXTS), *TEXTS)
                return await state(client, "cluster_down") == 2

            await eventually(two_down)
            cluster.primaries[2].start()
            await eventually(lambda: all_hit(client, *TEXTS))
            assert await eventually(lambda: not_degraded(client)) < 5


async def test_cluster_that_is_to_be_single_is_called_by_its_name(run: Run, cluster: RedisCluster) -> None:
    async with run(cluster.url, TRANSFORMER_REDIS_TOPOLOGY="single") as client:

        async def named() -> bool:
            assert_right(await client.predict(*TEXTS), *TEXTS)
            return await state(client, "cluster") == 1

        await eventually(named)
        assert await degraded(client) == 1
        assert any("is a cluster" in line["message"] for line in client.said("redis_state"))


async def test_user_who_may_not_ask_for_the_slots_is_told_which_command_he_lacks(
    run: Run, cluster: RedisCluster
) -> None:
    for node in cluster.primaries:
        with node.client() as link:
            link.execute_command(
                "ACL", "SETUSER", "cache", "on", ">pw", "~sentiment:*", "+@connection", "+mget", "+set", "+asking"
            )
    login = {"TRANSFORMER_REDIS_USERNAME": "cache", "TRANSFORMER_REDIS_PASSWORD": "pw"}
    async with run(cluster.url, **login) as client:

        async def denied() -> bool:
            assert_right(await client.predict(*TEXTS), *TEXTS)
            return await state(client, "no_permission") == 1

        await eventually(denied)
        assert any(line["message"].endswith("cluster|slots") for line in client.said("redis_state"))
        for node in cluster.primaries:
            with node.client() as link:
                link.execute_command("ACL", "SETUSER", "cache", "+cluster|slots")
        await eventually(lambda: all_hit(client, *TEXTS))
        assert await degraded(client) == 0


async def test_cluster_over_tls_whose_nodes_announce_what_no_certificate_names(run: Run, tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path, addresses=(), names=("localhost",))
    tls = (
        "--tls-cluster", "yes", "--tls-cert-file", str(certificate_file), "--tls-key-file", str(key_file),
        "--tls-ca-cert-file", str(certificate_file), "--tls-auth-clients", "no", "--tls-replication", "yes",
    )  # fmt: skip
    with redis_cluster(tmp_path, *tls, tls=True) as cluster:
        port = cluster.primaries[0].tls_port
        ca = {"TRANSFORMER_REDIS_CA_FILE": str(certificate_file)}
        async with run(f"rediss://localhost:{port}", **ca) as client:
            await eventually(lambda: all_hit(client, *TEXTS))
            assert await state(client, "ok") == 3
        async with run(f"rediss://127.0.0.1:{port}", **ca) as client:  # a name that is not in it is no name
            assert not await hits(client, TEXTS[0])
            assert await state(client, "tls") == 1


async def test_what_lies_behind_the_url_may_change_from_one_to_a_cluster_and_back(
    run: Run, tmp_path: Path, predictor: PredictorDouble
) -> None:
    with redis_cluster(tmp_path) as cluster:
        door = cluster.primaries[0]
        alone = RedisServer(folder=tmp_path, port=door.port)
        door.kill()
        alone.start()
        try:
            async with run(alone.url) as client:
                await eventually(lambda: all_hit(client, *TEXTS))
                alone.kill()
                await asyncio.to_thread(door.start)
                await eventually(lambda: all_hit(client, *TEXTS), within_s=20)
                assert await has_shards(client, 3)
                for node in cluster.primaries:
                    node.kill()
                await asyncio.to_thread(alone.start)
                await eventually(lambda: all_hit(client, *TEXTS), within_s=20)
                assert await has_shards(client, 1)
        finally:
            alone.kill()
