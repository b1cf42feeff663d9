"""Every way a Redis can go, under load with Redis as the only cache: it costs hits, never an answer."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from chaos.open_load import OpenLoad, Report, warm
from chaos.stack import Stack, stack
from chaos.table import Keep, Pace
from redis import Redis
from support.redis_server import RedisServer, redis_server
from support.tcp_proxy import TcpProxy


@pytest.fixture
async def rig(tmp_path: Path, redis: RedisServer) -> AsyncIterator[Stack]:
    async with stack(tmp_path, redis) as running:
        await warm(running.url)
        yield running


def assert_nothing_lost(report: Report) -> None:
    assert report.samples
    assert not report.wrong
    assert not report.statuses()


async def assert_hits_again(rig: Stack, load: OpenLoad) -> None:
    """After the fault the cache is in use again."""
    for _ in range(100):
        late = [sample for sample in load.samples if sample.at_s > load.marks["healed"] and sample.kind == "hit"]
        if any(sample.cache == "hit" for sample in late):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("no hit after the fault")


async def test_killed_redis_costs_hits_only(rig: Stack, pace: Pace, keep: Keep) -> None:
    async with OpenLoad(url=rig.url, rate=pace.rate) as load:
        await asyncio.sleep(pace.before_s)
        rig.redis.kill()
        await asyncio.sleep(pace.fault_s)
        await asyncio.to_thread(rig.redis.start)
        load.mark("healed")
        await asyncio.sleep(pace.after_s)
        await assert_hits_again(rig, load)
    assert_nothing_lost(keep(load.report("Redis killed, restarted empty")))


async def test_stopped_redis_costs_hits_only(rig: Stack, pace: Pace, keep: Keep) -> None:
    async with OpenLoad(url=rig.url, rate=pace.rate) as load:
        await asyncio.sleep(pace.before_s)
        rig.redis.signal(signal.SIGSTOP)
        await asyncio.sleep(pace.fault_s)
        rig.redis.signal(signal.SIGCONT)
        load.mark("healed")
        await asyncio.sleep(pace.after_s)
        await assert_hits_again(rig, load)
    assert_nothing_lost(keep(load.report("Redis stopped (SIGSTOP)")))


@pytest.mark.long
async def test_slow_redis_costs_hits_only(tmp_path: Path, redis: RedisServer, pace: Pace, keep: Keep) -> None:
    proxy = TcpProxy(target_port=redis.port)
    await proxy.start()
    try:
        async with stack(tmp_path, redis, TRANSFORMER_REDIS_URL=f"redis://127.0.0.1:{proxy.port}") as rig:
            await warm(rig.url)
            async with OpenLoad(url=rig.url, rate=pace.rate) as load:
                await asyncio.sleep(pace.before_s)
                ends_s = load.now_s() + pace.fault_s
                while load.now_s() < ends_s:  # 200 ms on every command, four times the budget
                    proxy.stall()
                    await asyncio.sleep(0.2)
                    proxy.flow()
                    await asyncio.sleep(0.01)
                load.mark("healed")
                await asyncio.sleep(pace.after_s)
                await assert_hits_again(rig, load)
        assert_nothing_lost(keep(load.report("Redis slow (200 ms stalls)")))
    finally:
        await proxy.stop()


@pytest.mark.long
async def test_full_redis_costs_new_entries_only(rig: Stack, pace: Pace, keep: Keep) -> None:
    with rig.redis.client() as link:
        async with OpenLoad(url=rig.url, rate=pace.rate) as load:
            await asyncio.sleep(pace.before_s)
            link.config_set("maxmemory-policy", "noeviction")
            link.config_set("maxmemory", "1")
            load.mark("full")
            await asyncio.sleep(pace.fault_s)
            link.config_set("maxmemory", "0")
            load.mark("healed")
            await asyncio.sleep(pace.after_s)
            await assert_hits_again(rig, load)
    report = keep(load.report("Redis full (noeviction)"))
    assert_nothing_lost(report)
    during = [s for s in report.of("hit") if load.marks["full"] < s.at_s < load.marks["healed"]]
    assert {sample.cache for sample in during} == {"hit"}


@pytest.mark.long
async def test_disk_full_under_redis_costs_new_entries_only(tmp_path: Path, pace: Pace, keep: Keep) -> None:
    # A snapshot that cannot be written makes Redis refuse writes: that is what a full disk looks like from outside.
    disk = tmp_path / "disk"
    disk.mkdir()
    with redis_server(disk) as redis, redis.client() as link:
        async with stack(tmp_path, redis) as rig:
            await warm(rig.url)
            await disk_fails(rig, disk, link, pace, keep)


async def disk_fails(rig: Stack, disk: Path, link: "Redis[bytes]", pace: Pace, keep: Keep) -> None:
    async with OpenLoad(url=rig.url, rate=pace.rate) as load:
        await asyncio.sleep(pace.before_s)
        shutil.rmtree(disk)
        link.config_set("save", "1 1")
        for _ in range(100):
            if link.info("persistence")["rdb_last_bgsave_status"] == "err":
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("the snapshot did not fail")
        await asyncio.sleep(pace.fault_s)
        link.config_set("save", "")
        link.config_set("stop-writes-on-bgsave-error", "no")
        load.mark("healed")
        await asyncio.sleep(pace.after_s)
        await assert_hits_again(rig, load)
    report = keep(load.report("Redis cannot write its disk"))
    assert_nothing_lost(report)
    assert {sample.cache for sample in report.of("hit")} == {"hit"}


@pytest.mark.long
async def test_flushed_redis_costs_hits_only(rig: Stack, pace: Pace, keep: Keep) -> None:
    with rig.redis.client() as link:
        async with OpenLoad(url=rig.url, rate=pace.rate) as load:
            await asyncio.sleep(pace.before_s)
            for _ in range(5):
                link.flushall()
                await asyncio.sleep(pace.fault_s / 5)
            load.mark("healed")
            await asyncio.sleep(pace.after_s)
            await assert_hits_again(rig, load)
    assert_nothing_lost(keep(load.report("Redis emptied five times")))
