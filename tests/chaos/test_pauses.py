"""Who reuses connections is the one to close them: pauses of 60 to 70 s through Envoy and through Go's transport.

All of it waits at the same time, beside a server that closes idle connections after 65 s, as uvicorn under KServe's SDK
does: it shows that what must not happen would be seen.
"""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio
from chaos.envoy import Envoy, envoy
from support.both_servers import KEYS, PATHS, SERVERS, Site, site
from support.programs import require

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]
EARLY = "early"
CONNECTIONS = 40
SHORTEST_S, LONGEST_S = 60, 70


class Seen(NamedTuple):
    """What became of a server's connections: Envoy's counters before and after, and what Go's client says."""

    before: dict[str, int]
    after: dict[str, int]
    go: dict[str, Any]


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = require("go", Path("/usr/local/go/bin/go"), package="golang")
    client = tmp_path_factory.mktemp("go") / "idle_client"
    source = Path(__file__).with_name("idle_client.go")
    subprocess.run([go, "build", "-o", str(client), str(source)], check=True)
    return client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(go_client: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Seen]]:
    folder = tmp_path_factory.mktemp("pauses")
    async with contextlib.AsyncExitStack() as running:
        sites = {name: await running.enter_async_context(site(name, folder)) for name in SERVERS}
        (folder / EARLY).mkdir()
        sites[EARLY] = await running.enter_async_context(site("transformer", folder / EARLY, KEEP_ALIVE_S="65"))
        proxy = await running.enter_async_context(envoy(folder, {name: one.server.port for name, one in sites.items()}))
        each = await asyncio.gather(*(_pause(one, proxy, name, go_client) for name, one in sites.items()))
        yield dict(zip(sites, each, strict=True))


async def _pause(one: Site, proxy: Envoy, name: str, go_client: Path) -> Seen:
    if one.double:
        one.double.delay_s = 0.5  # so that requests need connections of their own
    url = f"http://127.0.0.1:{proxy.ports[name]}{PATHS[one.name]}"
    assert set(await asyncio.gather(*(_ask(one, url, f"before {n}") for n in range(CONNECTIONS)))) == {200}
    before = await proxy.counters(name)
    go = asyncio.create_task(_ask_by_go(one, go_client))
    await asyncio.sleep((SHORTEST_S + LONGEST_S) / 2 + 1)
    assert set(await asyncio.gather(*(_ask(one, url, f"after {n}") for n in range(CONNECTIONS)))) == {200}
    return Seen(before, await proxy.counters(name), await go)


async def _ask(one: Site, url: str, text: str) -> int:
    body = {KEYS[one.name]: [text]}
    async with aiohttp.request("POST", url, json=body, timeout=aiohttp.ClientTimeout(total=60)) as answer:
        await answer.read()
        return answer.status


async def _ask_by_go(one: Site, go_client: Path) -> dict[str, Any]:
    body = json.dumps({KEYS[one.name]: ["known"]})
    pauses = [f"{SHORTEST_S}s", f"{LONGEST_S}s"]
    process = await asyncio.create_subprocess_exec(
        str(go_client), one.server.url + PATHS[one.name], body, str(CONNECTIONS), *pauses,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.parametrize("server", SERVERS)
async def test_envoy_finds_every_connection_where_it_left_it(seen: dict[str, Seen], server: str) -> None:
    before, after = seen[server].before, seen[server].after
    assert before["upstream_cx_active"] > 1
    assert after["upstream_cx_destroy_remote"] == 0
    assert after["upstream_cx_connect_fail"] == 0


@pytest.mark.parametrize("server", SERVERS)
async def test_go_finds_every_connection_where_it_left_it(seen: dict[str, Seen], server: str) -> None:
    assert seen[server].go == {"answered": CONNECTIONS, "reused": CONNECTIONS, "failures": []}


async def test_server_that_closes_first_would_be_seen(seen: dict[str, Seen]) -> None:
    early = seen[EARLY]
    assert early.after["upstream_cx_destroy_remote"] == early.before["upstream_cx_active"] > 1
    assert early.go["reused"] < CONNECTIONS
