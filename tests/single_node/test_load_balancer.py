"""Services of type LoadBalancer get addresses, each its own, from the moment they are there."""

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from parts.certificates import Authority, Identity, write_kubeconfig
from parts.load_balancer import Api, address_of, free_address, serve, wants_address

from local.ports import free_port

NETWORK = "10.217.1.0/24"


def service(name: str, *, kind: str = "LoadBalancer", address: str | None = None, **spec: str) -> dict[str, Any]:
    status = {"loadBalancer": {"ingress": [{"ip": address}]} if address else {}}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"type": kind, **spec}, "status": status}


class ApiServer:
    """An API server of Services: lists, watches, takes status patches; asks callers for a certificate of its authority.

    Args:
        folder: for certificates.
    """

    def __init__(self, *, folder: Path) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self._changed = threading.Condition()
        authority = Authority(name="cluster", folder=folder)
        serving = authority.issue("serving", Identity(user="server", addresses=["127.0.0.1"]))
        port = free_port()
        self.kubeconfig = write_kubeconfig(
            folder / "kubeconfig", server=f"https://127.0.0.1:{port}", authority=authority.pair.certificate,
            user="balancer", pair=authority.issue("client", Identity(user="balancer")),
        )  # fmt: skip
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                if "watch=1" not in self.path:
                    with outer._changed:
                        listed = {"items": list(outer.services.values()), "metadata": {"resourceVersion": "1"}}
                    self.wfile.write(json.dumps(listed).encode())
                    return
                for event in outer.events():
                    self.wfile.write(json.dumps(event).encode() + b"\n")

            def do_PATCH(self) -> None:
                name, subresource = self.path.split("/")[-2:]
                assert subresource == "status"
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.put(outer.services[name] | body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.pair.certificate))
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_cert_chain(serving.certificate, serving.key)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def put(self, one: dict[str, Any]) -> None:
        with self._changed:
            self.services[one["metadata"]["name"]] = one
            self._changed.notify_all()

    def events(self) -> Iterator[dict[str, Any]]:
        """What changes in a moment; then the watch ends, as a server ends it."""
        with self._changed:
            self._changed.wait(0.2)
            yield from ({"type": "MODIFIED", "object": each} for each in self.services.values())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def api_server(tmp_path: Path) -> Iterator[ApiServer]:
    running = ApiServer(folder=tmp_path)
    yield running
    running.close()


def test_only_services_that_nobody_else_serves_want_an_address() -> None:
    assert wants_address(service("a"))
    assert not wants_address(service("a", kind="ClusterIP"))
    assert not wants_address(service("a", address="10.217.1.1"))
    assert not wants_address(service("a", loadBalancerClass="somebody.else/one"))


def test_the_lowest_free_address_is_given() -> None:
    assert free_address(NETWORK, {None, "10.217.1.1", "10.217.1.3"}) == "10.217.1.2"
    with pytest.raises(LookupError, match=r"no address of 10\.217\.1\.0/31 is free"):
        free_address("10.217.1.0/31", {"10.217.1.0", "10.217.1.1"})


def test_those_who_wait_and_those_who_come_get_addresses_of_their_own(api_server: ApiServer) -> None:
    api_server.put(service("first"))
    api_server.put(service("has", address="10.217.1.2"))
    api_server.put(service("inner", kind="ClusterIP"))
    api = Api(kubeconfig=api_server.kubeconfig)

    def run() -> None:
        with contextlib.suppress(OSError):
            serve(api, NETWORK)

    threading.Thread(target=run, daemon=True).start()

    def wait_for(name: str) -> str:
        limit_s = time.monotonic() + 30
        while (address := address_of(api_server.services[name])) is None:
            assert time.monotonic() < limit_s
            time.sleep(0.02)
        return address

    assert wait_for("first") == "10.217.1.1"
    api_server.put(service("later"))
    assert wait_for("later") == "10.217.1.3"
    assert address_of(api_server.services["inner"]) is None
