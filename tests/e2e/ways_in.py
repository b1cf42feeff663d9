"""Where requests enter: at the gateway that the rendered objects name, under the host by which it knows the service."""

from collections.abc import Sequence
from typing import Any

from e2e.cluster import Cluster, ClusterError, Document
from e2e.gateway import Gateway


def way_in(cluster: Cluster, documents: Sequence[Document], *, url: str | None) -> Gateway:
    """Give the gateway; raises ClusterError where it has no address.

    Args:
        cluster: where the service is ready.
        documents: what was applied: an HTTPRoute, a VirtualService, or neither, as in Knative mode.
        url: its address, where the cluster does not say one.
    """
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "HTTPRoute":
            return Gateway(url=url or _of_gateway_api(cluster, spec["parentRefs"][0]), host=spec["hostnames"][0])
        if document["kind"] == "VirtualService":
            scheme = _scheme_of_istio(cluster, spec["gateways"][0])
            return _at_istio(cluster, url=url, scheme=scheme, host=spec["hosts"][0])
    scheme, host = cluster.url()
    return _at_istio(cluster, url=url, scheme=scheme, host=host)


def _at_istio(cluster: Cluster, *, url: str | None, scheme: str, host: str) -> Gateway:
    address = url or f"{scheme}://{cluster.gateway_address()}"
    return Gateway(url=address, host=host, authority=cluster.gateway_authority())


def _of_gateway_api(cluster: Cluster, parent: dict[str, Any]) -> str:
    namespace, name = parent["namespace"], parent["name"]
    gateway = cluster.read(f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/gateways/{name}")
    for address in gateway.get("status", {}).get("addresses", ()):
        plain = next((one for one in gateway["spec"]["listeners"] if one["protocol"] == "HTTP"), None)
        if plain is None:
            raise ClusterError(
                f"the Gateway {namespace}/{name} has no listener for HTTP: give an address with --gateway"
            )
        return f"http://{address['value']}:{plain['port']}"
    raise ClusterError(f"the Gateway {namespace}/{name} has no address: give one with --gateway")


def _scheme_of_istio(cluster: Cluster, named: str) -> str:
    namespace, _, name = named.partition("/")
    gateway = cluster.read(f"/apis/networking.istio.io/v1/namespaces/{namespace}/gateways/{name}")
    return "https" if any(server["port"]["protocol"] == "HTTPS" for server in gateway["spec"]["servers"]) else "http"
