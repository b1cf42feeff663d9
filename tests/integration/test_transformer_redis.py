"""The transformer with a real redis-server: what it stores, and every way a Redis can go wrong."""

import asyncio
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest
from support.certificates import self_signed
from support.predictor_double import PredictorDouble, prediction, scores
from support.redis_server import RedisServer, redis_server
from support.tcp_proxy import TcpProxy
from support.transformer_process import Answer, Client, transformer

NO_MEMORY = {"TRANSFORMER_L1_ENTRIES": "0"}
Run = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def run(predictor: PredictorDouble, tmp_path: Path) -> Run:
    """Run transformers with Redis as their only cache, so that what is seen is Redis's doing."""

    @asynccontextmanager
    async def start(redis_url: str, **env: str) -> AsyncIterator[Client]:
        async with transformer(
            tmp_path, predictor_host=predictor.host, **{"TRANSFORMER_REDIS_URL": redis_url, **NO_MEMORY, **env}
        ) as process:
            client = Client(process.url)
            await eventually(lambda: knows_version(client))
            try:
                yield client
            finally:
                await client.session.close()

    return start


async def knows_version(client: Client) -> bool:
    return bool((await client.get("/health")).json()["model_version"])


async def eventually(check: Callable[[], Awaitable[bool]], *, within_s: float = 10) -> float:
    """Wait until ``check`` holds; give the seconds it took."""
    started = time.monotonic()
    while not await check():
        assert time.monotonic() - started < within_s, "did not happen in time"
        await asyncio.sleep(0.05)
    return time.monotonic() - started


def assert_right(answer: Answer, *texts: str, version: str = "v1") -> None:
    assert answer.status == 200, answer
    got = [
        [pair | {"score": struct.unpack("<f", struct.pack("<f", pair["score"]))[0]} for pair in each]
        for each in answer.json()["predictions"]
    ]
    assert got == [prediction(text, version) for text in texts]


async def store(client: Client, redis: RedisServer, *texts: str) -> None:
    """Ask for texts and wait until Redis has them: writes leave after the answer."""
    assert_right(await client.predict(*texts), *texts)
    with redis.client() as link:

        async def stored() -> bool:
            return all(link.exists(key_of(text)) for text in texts)

        await eventually(stored)


def key_of(text: str, version: str = "v1") -> bytes:
    digest = blake2b(text.encode(), digest_size=16).hexdigest()
    return f"sentiment:1:{version}:{digest}".encode()


async def degraded(client: Client) -> float:
    return await client.metric("transformer_degraded")


async def hits(client: Client, text: str) -> bool:
    answer = await client.predict(text)
    assert_right(answer, text)
    return answer.headers["x-cache"] == "hit"


async def test_key_value_and_life_are_as_documented(run: Run, redis: RedisServer) -> None:
    async with run(redis.url) as client:
        await store(client, redis, "naïve", "b")
        with redis.client() as link:
            assert link.get(key_of("naïve")) == b"\x01" + struct.pack("<2f", *scores("naïve", "v1"))
            assert 180 * 0.9 - 5 <= link.ttl(key_of("naïve")) <= 180 * 1.1
            names = [n for n in link.scan_iter() if n not in (b"sentiment:1:probe", b"sentiment:1:in-force")]
            assert sorted(names) == sorted([key_of("naïve"), key_of("b")])


async def test_second_process_hits_what_the_first_stored(
    run: Run, redis: RedisServer, predictor: PredictorDouble
) -> None:
    async with run(redis.url) as client:
        await store(client, redis, "shared", "too")
    async with run(redis.url) as client:
        answer = await client.predict("too", "shared")
        assert_right(answer, "too", "shared")
        assert answer.headers["x-cache"] == "hit"
        assert await client.metric('transformer_texts_total{outcome="hit_l2"}') == 2
    assert sorted(predictor.forwarded()) == ["shared", "too"]


async def test_ten_texts_of_which_nine_are_in_redis_cost_one_forward(
    run: Run, redis: RedisServer, predictor: PredictorDouble
) -> None:
    texts = [f"text {n}" for n in range(10)]
    async with run(redis.url) as client:
        await store(client, redis, *texts[:9])
        calls = len(predictor.calls)
        answer = await client.predict(*texts)
        assert_right(answer, *texts)
        assert answer.headers["x-cache"] == "partial"
        assert predictor.calls[calls:] == [["text 9"]]


async def test_lookups_of_one_tick_are_one_round_trip(run: Run, redis: RedisServer) -> None:
    async with run(redis.url) as client:
        texts = [f"t{n}" for n in range(64)]
        await store(client, redis, *texts)
        with redis.client() as link:
            before = link.info("commandstats")["cmdstat_mget"]["calls"]
            assert_right(await client.predict(*texts), *texts)
            assert link.info("commandstats")["cmdstat_mget"]["calls"] == before + 1


async def test_secret_hides_which_texts_are_cached(run: Run, redis: RedisServer) -> None:
    async with run(redis.url, TRANSFORMER_CACHE_SECRET="s3cret") as client:
        assert_right(await client.predict("guess me"), "guess me")
        await eventually(lambda: hits(client, "guess me"))
        with redis.client() as link:
            assert not link.exists(key_of("guess me"))


async def test_own_life_per_text_also_in_a_partial_hit(run: Run, redis: RedisServer) -> None:
    async with run(redis.url, TRANSFORMER_CACHE_TTL_S="100") as client:
        await store(client, redis, "old")
        with redis.client() as link:
            link.pexpire(key_of("old"), 5_000)
            await store(client, redis, "old", "new")
            assert link.ttl(key_of("old")) <= 5
            assert link.ttl(key_of("new")) >= 85


# --- every way a Redis can go wrong -------------------------------------------------------------------------------


async def test_absent_redis_at_start_costs_hits_only_and_is_found_when_it_comes(
    run: Run, tmp_path: Path, predictor: PredictorDouble
) -> None:
    late = RedisServer(folder=tmp_path)
    async with run(late.url) as client:
        assert (await client.get("/v2/health/ready")).status == 200
        assert await degraded(client) == 1
        for n in range(5):
            assert_right(await client.predict(f"early {n}"), f"early {n}")
        late.start()
        try:
            assert await eventually(lambda: hits(client, "now cached")) < 2 + 1  # the check itself takes its time
            assert await degraded(client) == 0
        finally:
            late.kill()


async def test_killed_redis_is_a_miss_and_comes_back(run: Run, redis: RedisServer) -> None:
    async with run(redis.url) as client:
        await store(client, redis, "a")
        redis.kill()
        for n in range(20):
            assert_right(await client.predict("a", f"b{n}"), "a", f"b{n}")
        assert await degraded(client) == 1
        assert (await client.get("/v2/health/ready")).status == 200
        assert (await client.get("/v1/models/sentiment")).status == 200
        redis.start()
        await eventually(lambda: hits(client, "a"))
        assert await degraded(client) == 0


async def test_stopped_redis_costs_the_budget_until_the_breaker_opens(run: Run, redis: RedisServer) -> None:
    async with run(redis.url) as client:
        await store(client, redis, "a")
        redis.signal(SIGSTOP)
        waits = []
        for n in range(30):
            answer = await client.predict("a", f"b{n}")
            assert_right(answer, "a", f"b{n}")
            waits.append(lookup_ms(answer))
        # The server's own clock: the budget bounds each wait, and only the first few requests wait at all.
        assert max(waits) < 50 + 200
        assert sum(wait >= 10 for wait in waits) <= 5
        assert await client.metric("transformer_redis_breaker_open") == 1
        redis.signal(SIGCONT)
        await eventually(lambda: hits(client, "a"))
        assert await degraded(client) == 0


def lookup_ms(answer: Answer) -> float:
    return float(answer.headers["server-timing"].split("lookup;dur=")[1].split(",")[0])


async def test_paused_redis_is_a_miss(run: Run, redis: RedisServer) -> None:
    async with run(redis.url) as client:
        await store(client, redis, "a")
        with redis.client() as link:
            link.execute_command("CLIENT", "PAUSE", "1500", "ALL")
        for n in range(10):
            assert_right(await client.predict("a", f"b{n}"), "a", f"b{n}")
        assert await degraded(client) == 1
        await eventually(lambda: hits(client, "a"))
        assert await degraded(client) == 0


async def test_stalling_network_is_a_miss(run: Run, redis: RedisServer) -> None:
    proxy = TcpProxy(target_port=redis.port)
    await proxy.start()
    try:
        async with run(f"redis://127.0.0.1:{proxy.port}") as client:
            await store(client, redis, "a")
            proxy.stall()
            many = [client.predict("a", f"b{n}") for n in range(50)]
            for n, answer in enumerate(await asyncio.gather(*many)):
                assert_right(answer, "a", f"b{n}")
                assert lookup_ms(answer) < 50 + 200
            # The burst may have left as one look-up, which is one failure: three in a row open the breaker.
            for n in range(3):
                assert_right(await client.predict("a", f"c{n}"), "a", f"c{n}")
            assert await degraded(client) == 1
            proxy.flow()
            await eventually(lambda: hits(client, "a"))
            assert await degraded(client) == 0
    finally:
        await proxy.stop()


async def test_idle_connections_closed_by_the_network_cost_nothing(run: Run, redis: RedisServer) -> None:
    proxy = TcpProxy(target_port=redis.port)
    await proxy.start()
    try:
        async with run(f"redis://127.0.0.1:{proxy.port}") as client:
            await store(client, redis, "a")
            for _ in range(5):
                proxy.cut()
                await asyncio.sleep(0.1)
                assert await hits(client, "a")
            assert await degraded(client) == 0
    finally:
        await proxy.stop()


async def test_full_redis_still_serves_what_it_has(run: Run, redis: RedisServer) -> None:
    async with run(redis.url) as client:
        await store(client, redis, "a")
        with redis.client() as link:
            link.config_set("maxmemory-policy", "noeviction")
            link.config_set("maxmemory", "1")
            assert_right(await client.predict("b"), "b")
            assert await eventually(lambda: is_degraded(client)) < 10
            assert await hits(client, "a")
            assert not await hits(client, "b")
            link.config_set("maxmemory", "0")
        await eventually(lambda: hits(client, "b"))
        assert await degraded(client) == 0


async def is_degraded(client: Client) -> bool:
    return await degraded(client) == 1


async def test_read_only_replica_serves_what_it_has(run: Run, redis: RedisServer, tmp_path: Path) -> None:
    with redis_server(tmp_path, "--replicaof", "127.0.0.1", str(redis.port)) as replica:
        with redis.client() as link:
            link.set(key_of("a"), b"\x01" + struct.pack("<2f", *scores("a", "v1")), ex=100)
        async with run(replica.url) as client:
            await eventually(lambda: hits(client, "a"))
            assert not await hits(client, "b")
            assert await degraded(client) == 1
            with replica.client() as link:
                link.replicaof("NO", "ONE")
            await eventually(lambda: hits(client, "b"))
            assert await degraded(client) == 0


async def test_wrong_password_costs_hits_only_and_is_mended(run: Run, redis: RedisServer) -> None:
    with redis.client() as link:
        link.config_set("requirepass", "right")
    async with run(redis.url, TRANSFORMER_REDIS_PASSWORD="wrong") as client:
        for n in range(5):
            assert_right(await client.predict(f"a{n}"), f"a{n}")
        assert await degraded(client) == 1
        with redis.client(password="right") as link:
            link.config_set("requirepass", "wrong")
        await eventually(lambda: hits(client, "a0"))
        assert await degraded(client) == 0


async def test_foreign_values_under_our_keys_are_misses_and_are_replaced(run: Run, redis: RedisServer) -> None:
    values = [
        b"",
        b"\x00",
        b"garbage",
        b"\x01" + struct.pack("<2f", 7, -6),
        b"\x01" * 9,
        b"\x80\x04K\x01.",
        b"x" * 10**6,
    ]
    texts = [f"t{n}" for n in range(len(values))]
    async with run(redis.url) as client:
        with redis.client() as link:
            link.mset({key_of(text): value for text, value in zip(texts, values, strict=True)})
        answer = await client.predict(*texts)
        assert_right(answer, *texts)
        assert answer.headers["x-cache"] == "miss"
        for text in texts:
            await eventually(lambda text=text: hits(client, text))  # type: ignore[misc]


async def test_foreign_type_under_our_key_is_a_miss(run: Run, redis: RedisServer) -> None:
    async with run(redis.url) as client:
        await store(client, redis, "a")
        with redis.client() as link:
            link.delete(key_of("b"))
            link.rpush(key_of("b"), "list")
        answer = await client.predict("a", "b")
        assert_right(answer, "a", "b")
        assert answer.headers["x-cache"] == "partial"


# --- ways to connect ----------------------------------------------------------------------------------------------


async def test_works_with_an_acl_user(run: Run, redis: RedisServer) -> None:
    with redis.client() as link:
        link.acl_setuser(
            "cache",
            enabled=True,
            passwords=["+pw"],
            keys=["sentiment:1:*"],
            commands=["+mget", "+set", "+client", "+hello", "+auth"],
        )
        link.acl_setuser("default", enabled=False)
    async with run(redis.url, TRANSFORMER_REDIS_USERNAME="cache", TRANSFORMER_REDIS_PASSWORD="pw") as client:
        await eventually(lambda: hits(client, "a"))
        assert await degraded(client) == 0


async def test_works_over_a_unix_socket(run: Run, redis: RedisServer) -> None:
    async with run(f"unix://{redis.socket}") as client:
        await eventually(lambda: hits(client, "a"))


async def test_works_over_tls_and_checks_the_certificate(run: Run, redis: RedisServer, tmp_path: Path) -> None:
    certificate_file, key_file = self_signed(tmp_path, host="127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file, key_file)
    proxy = TcpProxy(target_port=redis.port, tls=context)
    await proxy.start()
    url = f"rediss://127.0.0.1:{proxy.port}"
    try:
        async with run(url, TRANSFORMER_REDIS_CA_FILE=str(certificate_file)) as client:
            await eventually(lambda: hits(client, "a"))
            assert await degraded(client) == 0
        async with run(url) as client:  # an unknown authority is no authority
            assert not await hits(client, "b")
            assert not await hits(client, "b")
            assert await degraded(client) == 1
    finally:
        await proxy.stop()


# --- a canary -----------------------------------------------------------------------------------------------------


async def test_two_versions_behind_one_address_never_mix_and_both_stay_cached(
    run: Run, redis: RedisServer, predictor: PredictorDouble
) -> None:
    predictor.versions = ("v1", "v2")
    async with run(redis.url) as client:
        for round_ in range(40):
            texts = [f"t{(round_ * 7 + n * n) % 25}" for n in range(6)]
            answer = await client.predict(*texts)
            assert_right(answer, *texts, version=answer.headers["x-model-version"])
        requests = [[f"t{(n * 3 + k) % 25}" for k in range(5)] for n in range(60)]
        answers = await asyncio.gather(*(client.predict(*texts) for texts in requests))
        for texts, answer in zip(requests, answers, strict=True):
            assert_right(answer, *texts, version=answer.headers["x-model-version"])
        with redis.client() as link:
            for version in ("v1", "v2"):
                stored = [n for n in range(25) if link.exists(key_of(f"t{n}", version))]
                assert len(stored) >= 10, version
                for n in stored:
                    expected = b"\x01" + struct.pack("<2f", *scores(f"t{n}", version))
                    assert link.get(key_of(f"t{n}", version)) == expected
