"""Every way one shard of a Redis Cluster can go, under load with the cluster as the only cache: it costs its own hits.

The load checks every answer; a fault that is not marked long runs with every test run.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chaos.open_load import HOT, OpenLoad, Sample, warm
from chaos.stack import Stack, stack
from chaos.table import Keep, Pace
from redis.crc import key_slot
from support.redis_cluster import RedisCluster, in_step, is_primary, redis_cluster, wait_for
from support.redis_rig import key_of
from support.redis_server import RedisServer

# A crowded machine makes a look-up miss its 50 ms now and then; a shard that cost the others' keys would leave none.
_MOST = 0.5


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path) as running:
        yield running


@pytest.fixture
async def rig(tmp_path: Path, cluster: RedisCluster) -> AsyncIterator[Stack]:
    async with stack(tmp_path, cluster.primaries[0], TRANSFORMER_REDIS_URL=cluster.url) as running:
        await warm(running.url)
        yield running


def owned(cluster: RedisCluster, texts: tuple[str, ...], node: RedisServer) -> bool:
    return any(cluster.owner(key_of(text)) is node for text in texts)


@contextlib.asynccontextmanager
async def under_load(rig: Stack, pace: Pace, keep: Keep, name: str) -> AsyncIterator[OpenLoad]:
    """The block is the fault, and marks the moment when it is healed; all answers are right, and later all hits hit."""
    async with OpenLoad(url=rig.url, rate=pace.rate) as load:
        await asyncio.sleep(pace.before_s)
        load.mark("hurt")
        yield load
        await asyncio.sleep(pace.after_s)
        await assert_all_hit_again(load)
    report = keep(load.report(name))
    assert report.samples
    assert not report.wrong
    assert not report.statuses()


def while_hurt(load: OpenLoad) -> list[Sample]:
    """Requests for cached texts during the fault."""
    return [s for s in load.samples if s.kind == "hit" and load.marks["hurt"] < s.at_s < load.marks["healed"]]


def assert_others_kept_hitting(load: OpenLoad, cluster: RedisCluster, node: RedisServer) -> None:
    """While one shard was hurt, requests that need none of its keys went on being hits."""
    others = [sample for sample in while_hurt(load) if not owned(cluster, sample.texts, node)]
    assert others
    assert hit_share(others) >= _MOST


def hit_share(samples: list[Sample]) -> float:
    return sum(sample.cache == "hit" for sample in samples) / len(samples)


async def assert_all_hit_again(load: OpenLoad) -> None:
    """After the fault every shard is in use again: the last twenty requests for cached texts are hits."""
    for _ in range(300):
        late = [s for s in load.samples if s.at_s > load.marks["healed"] and s.kind == "hit"][-20:]
        if len(late) == 20 and all(sample.cache == "hit" for sample in late):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("not all hits are back after the fault")


async def test_one_of_three_killed_costs_its_keys_only(
    rig: Stack, cluster: RedisCluster, pace: Pace, keep: Keep
) -> None:
    lost = cluster.primaries[1]
    async with under_load(rig, pace, keep, "cluster: one of three killed, restarted empty") as load:
        lost.kill()
        await asyncio.sleep(pace.fault_s)
        load.mark("healed")
        await asyncio.to_thread(lost.start)
    assert_others_kept_hitting(load, cluster, lost)


async def test_one_of_three_stopped_costs_its_keys_only(
    rig: Stack, cluster: RedisCluster, pace: Pace, keep: Keep
) -> None:
    stopped = cluster.primaries[1]
    async with under_load(rig, pace, keep, "cluster: one of three stopped (SIGSTOP)") as load:
        stopped.signal(signal.SIGSTOP)
        await asyncio.sleep(pace.fault_s)
        load.mark("healed")
        stopped.signal(signal.SIGCONT)
    assert_others_kept_hitting(load, cluster, stopped)


@pytest.mark.long
async def test_one_of_three_slow_costs_its_keys_only(rig: Stack, cluster: RedisCluster, pace: Pace, keep: Keep) -> None:
    slow = cluster.primaries[1]
    async with under_load(rig, pace, keep, "cluster: one of three slow (200 ms stalls)") as load:
        ends_s = load.now_s() + pace.fault_s
        while load.now_s() < ends_s:  # 200 ms on every command, four times the budget
            slow.signal(signal.SIGSTOP)
            await asyncio.sleep(0.2)
            slow.signal(signal.SIGCONT)
            await asyncio.sleep(0.01)
        load.mark("healed")
    assert_others_kept_hitting(load, cluster, slow)


@pytest.mark.long
async def test_one_of_three_full_costs_new_entries_only(
    rig: Stack, cluster: RedisCluster, pace: Pace, keep: Keep
) -> None:
    with cluster.primaries[1].client() as link:
        async with under_load(rig, pace, keep, "cluster: one of three full (noeviction)") as load:
            link.config_set("maxmemory-policy", "noeviction")
            link.config_set("maxmemory", "1")
            await asyncio.sleep(pace.fault_s)
            load.mark("healed")
            link.config_set("maxmemory", "0")
    assert hit_share(while_hurt(load)) >= _MOST


@pytest.mark.long
async def test_one_of_three_emptied_costs_its_keys_only(
    rig: Stack, cluster: RedisCluster, pace: Pace, keep: Keep
) -> None:
    emptied = cluster.primaries[1]
    with emptied.client() as link:
        async with under_load(rig, pace, keep, "cluster: one of three emptied five times") as load:
            for _ in range(5):
                link.flushall()
                await asyncio.sleep(pace.fault_s / 5)
            load.mark("healed")
    assert_others_kept_hitting(load, cluster, emptied)


@pytest.mark.long
async def test_failed_over_primary_costs_hits_until_the_cluster_has_another(
    tmp_path: Path, pace: Pace, keep: Keep
) -> None:
    with redis_cluster(tmp_path, replicas=True) as cluster:
        lost, heir = cluster.primaries[1], cluster.replicas[1]
        async with stack(tmp_path, cluster.primaries[0], TRANSFORMER_REDIS_URL=cluster.url) as rig:
            await warm(rig.url)
            async with under_load(rig, pace, keep, "cluster: primary killed, replica takes over") as load:
                lost.kill()
                await asyncio.to_thread(wait_for, lambda: is_primary(heir), "the replica did not take over")
                load.mark("healed")  # by the cluster itself
                await assert_all_hit_again(load)
                await asyncio.to_thread(lost.start)
                await asyncio.to_thread(wait_for, lambda: in_step(lost), "the lost node did not come back")
        assert_others_kept_hitting(load, cluster, lost)


@pytest.mark.long
async def test_resharding_while_loaded_costs_no_hit(rig: Stack, cluster: RedisCluster, pace: Pace, keep: Keep) -> None:
    source = cluster.primaries[0]
    moving = sorted({key_slot(key_of(text)) for text in HOT if cluster.owner(key_of(text)) is source})
    fresh = cluster.node()
    async with under_load(rig, pace, keep, "cluster: slots moved to a new node and back") as load:
        await asyncio.to_thread(cluster.join, fresh)
        ends = time.monotonic() + pace.fault_s
        while time.monotonic() < ends:
            await asyncio.to_thread(cluster.move, moving, source, fresh, pause_s=0.02)
            await asyncio.to_thread(cluster.move, moving, fresh, source, pause_s=0.02)
        load.mark("healed")
    # A node that is new has to be met before it can be asked: that is all a slot on the move may cost.
    assert hit_share(while_hurt(load)) >= _MOST
