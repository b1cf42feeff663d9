"""Gives every Service of type LoadBalancer an address of the node's network: what a cloud does, and no cloud is here.

kube-proxy answers for such an address wherever a packet for it arrives, and this machine routes them all to the node:
no packet passes through this program.

    load_balancer.py KUBECONFIG NETWORK
"""

import base64
import contextlib
import ipaddress
import json
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

WATCH_S = 240
PAUSE_S = 1.0
Service = Mapping[str, Any]


def wants_address(service: Service) -> bool:
    """Tell whether a Service waits for an address that nobody else will give."""
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and "loadBalancerClass" not in spec and address_of(service) is None


def address_of(service: Service) -> str | None:
    """Give the address that a Service has."""
    given = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    address: str | None = given[0].get("ip")
    return address


def free_address(network: str, taken: Collection[str | None]) -> str:
    """Give the lowest address of a network that is not taken; raises LookupError when there is none."""
    for address in ipaddress.ip_network(network).hosts():
        if str(address) not in taken:
            return str(address)
    raise LookupError(f"no address of {network} is free")


class Api:
    """The few calls of the API server that this needs.

    Args:
        kubeconfig: with a client's certificate in it.
    """

    def __init__(self, *, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._server = cluster["server"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]))
            pair.write(base64.b64decode(user["client-key-data"]))
            pair.flush()
            self._tls.load_cert_chain(pair.name)

    def services(self) -> tuple[list[Service], str]:
        """Give all Services and the version of the list."""
        with self._open("/api/v1/services") as answer:
            found = json.load(answer)
        return found["items"], found["metadata"]["resourceVersion"]

    def changes(self, version: str) -> Iterator[Service]:
        """Give each Service that changes after a version, until the server ends the watch."""
        query = f"watch=1&resourceVersion={version}&timeoutSeconds={WATCH_S}"
        with self._open(f"/api/v1/services?{query}", timeout_s=WATCH_S + 30) as answer:
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["object"]

    def give(self, service: Service, address: str) -> None:
        """Write an address into a Service's status."""
        metadata = service["metadata"]
        body = {"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}
        path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}/status"
        self._open(path, method="PATCH", body=json.dumps(body).encode()).close()

    def _open(self, path: str, *, method: str = "GET", body: bytes | None = None, timeout_s: float = 30) -> Any:
        request = urllib.request.Request(self._server + path, data=body, method=method)
        request.add_header("Content-Type", "application/merge-patch+json")
        return urllib.request.urlopen(request, timeout=timeout_s, context=self._tls)


def serve(api: Api, network: str) -> None:
    """Give addresses to those who wait and to those who come, until the API server goes away."""
    while True:
        services, version = api.services()
        taken = {address_of(service) for service in services}
        for service in filter(wants_address, services):
            address = free_address(network, taken)
            api.give(service, address)
            taken.add(address)
            print(f"load-balancer: {service['metadata']['name']} has {address}", flush=True)
        next(filter(wants_address, api.changes(version)), None)


def main(arguments: Sequence[str]) -> int:
    """Serve; start again when the API server was away."""
    kubeconfig, network = Path(arguments[0]), arguments[1]
    api = Api(kubeconfig=kubeconfig)
    while True:
        with contextlib.suppress(urllib.error.URLError, OSError):
            serve(api, network)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
