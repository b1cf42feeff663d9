"""Secrets and texts stay inside: whatever goes wrong, no answer, log line, metric or process title shows them."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.predictor_double import PredictorDouble
from support.processes import Server
from support.redis_server import RedisServer
from support.transformer_process import Client, transformer

PASSWORD, IN_URL, HASH_SECRET, TEXT = "Xpassw0rdX", "Xin-the-urlX", "Xhash-secretX", "a text that nobody may keep"
SECRETS = (PASSWORD, IN_URL, HASH_SECRET)


@pytest.fixture(params=["away", "refuses the password", "works"])
async def process(
    request: pytest.FixtureRequest, predictor: PredictorDouble, redis: RedisServer, tmp_path: Path
) -> AsyncIterator[Server]:
    url, env = f"redis://:{IN_URL}@127.0.0.1:{redis.port}/0", {"TRANSFORMER_CACHE_SECRET": HASH_SECRET}
    if request.param == "works":
        url, env = redis.url, {**env, "TRANSFORMER_REDIS_PASSWORD": PASSWORD}
        with redis.client() as link:
            link.config_set("requirepass", PASSWORD)
    if request.param == "away":
        redis.kill()
    async with transformer(
        tmp_path, predictor_host=predictor.host, TRANSFORMER_REDIS_URL=url, TRANSFORMER_ACCESS_LOG="true",
        **env,
    ) as running:  # fmt: skip
        yield running


async def test_nothing_shows_a_secret_or_a_text(process: Server, predictor: PredictorDouble) -> None:
    client = Client(process.url)
    seen: list[str] = []
    assert (await client.predict(TEXT)).status == 200
    await predictor.stop()
    for method, path in (
        ("GET", "/health"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/v2"),
        ("GET", "/v2/models/sentiment"), ("GET", "/nowhere"), ("PUT", "/predict"), ("GET", "/v1/models"),
        ("GET", "/docs"), ("GET", "/%2e%2e/%2e%2e/proc/self/environ"), ("GET", "/debug/vars"), ("GET", "/env"),
    ):  # fmt: skip
        answer = await client.get(path, method)
        seen.append(f"{dict(answer.headers)} {answer.body.decode(errors='replace')}")
    for body in (
        b"{",
        json.dumps({"text": [TEXT, 1]}).encode(),
        json.dumps({"text": [TEXT + "!"]}).encode(),
        b'{"x": 1}',
    ):
        for path in ("/predict", "/v1/models/sentiment:predict", "/v2/models/sentiment/infer"):
            answer = await client.post(path, body)
            assert answer.status >= 400
            seen.append(f"{dict(answer.headers)} {answer.body.decode(errors='replace')}")
    await client.session.close()
    process.stop()
    log = process.output()
    seen.append(log)
    for said in seen:
        assert not [secret for secret in SECRETS if secret in said], said[:500]
        assert TEXT not in said
        assert "Traceback" not in said
    for line in log.splitlines():
        assert isinstance(json.loads(line), dict), line


async def test_redis_holds_no_text_and_no_key_that_can_be_guessed(
    predictor: PredictorDouble, redis: RedisServer, tmp_path: Path
) -> None:
    settings = {"TRANSFORMER_REDIS_URL": redis.url, "TRANSFORMER_CACHE_SECRET": HASH_SECRET}
    async with transformer(tmp_path, predictor_host=predictor.host, **settings) as process:
        client = Client(process.url)
        await client.predict(TEXT)
        await client.session.close()
        process.stop()  # writes what waits
    with redis.client() as link:
        kept = {bytes(key): link.get(key) for key in link.scan_iter()}
    names = [name for name in kept if re.fullmatch(rb"sentiment:1:v1:[0-9a-f]{32}", name)]
    assert len(names) == 1
    assert set(kept) - set(names) <= {b"sentiment:1:in-force", b"sentiment:1:probe"}
    everything = b" ".join([*kept, *(value or b"" for value in kept.values())])
    assert TEXT.encode() not in everything
    assert HASH_SECRET.encode() not in everything


@pytest.mark.parametrize(
    ("name", "value"),
    [("TRANSFORMER_REDIS_URL", f"nonsense://:{IN_URL}@x"), ("TRANSFORMER_L1_ENTRIES", "-1")],
)
async def test_process_that_cannot_start_tells_no_secret(
    name: str, value: str, predictor: PredictorDouble, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match="ended with") as caught:
        async with transformer(
            tmp_path, predictor_host=predictor.host, **{"TRANSFORMER_CACHE_SECRET": HASH_SECRET, name: value}
        ):
            pass
    assert not [secret for secret in SECRETS if secret in str(caught.value)]
