"""Evaluates NetworkPolicies: may this pod open that connection? (source: Kubernetes, Network Policies)."""

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Fields = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """One end of a connection inside the cluster."""

    namespace: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Address:
    """One end of a connection outside the cluster."""

    ip: str


End = Pod | Address


def allowed(policies: list[Fields], source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    """Whether egress rules at the source and ingress rules at the target let the connection through."""
    return _side(policies, "Egress", source, target, port, protocol) and _side(
        policies, "Ingress", target, source, port, protocol
    )


def _side(policies: list[Fields], direction: str, here: End, there: End, port: int, protocol: str) -> bool:
    if isinstance(here, Address):
        return True
    selecting = [policy for policy in policies if _selects(policy, direction, here)]
    if not selecting:
        return True
    peers = {"Egress": "to", "Ingress": "from"}[direction]
    rules = [rule for policy in selecting for rule in policy["spec"].get(direction.lower(), [])]
    return any(
        any(_matches_port(entry, port, protocol) for entry in rule["ports"])
        and any(_matches_peer(peer, there, here.namespace) for peer in rule[peers])
        for rule in rules
    )


def _selects(policy: Fields, direction: str, pod: Pod) -> bool:
    spec = policy["spec"]
    inside = policy["metadata"]["namespace"] == pod.namespace
    return inside and direction in spec["policyTypes"] and _matches_labels(spec["podSelector"], pod.labels)


def _matches_port(entry: Fields, port: int, protocol: str) -> bool:
    return bool(entry["port"] <= port <= entry.get("endPort", entry["port"]) and entry["protocol"] == protocol)


def _matches_peer(peer: Fields, end: End, own_namespace: str) -> bool:
    if "ipBlock" in peer:
        # Address ranges are for what lies outside: Cilium never matches a pod by its address.
        return isinstance(end, Address) and _in_block(peer["ipBlock"], ipaddress.ip_address(end.ip))
    if isinstance(end, Address):
        return False
    if "namespaceSelector" in peer:
        right_namespace = _matches_labels(peer["namespaceSelector"], {"kubernetes.io/metadata.name": end.namespace})
    else:
        right_namespace = end.namespace == own_namespace
    return right_namespace and _matches_labels(peer.get("podSelector", {}), end.labels)


def _in_block(block: Fields, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inside = ip in ipaddress.ip_network(block["cidr"])
    return inside and not any(ip in ipaddress.ip_network(hole) for hole in block.get("except", []))


def _matches_labels(selector: Fields, labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}, "this evaluator knows matchLabels only"
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()
