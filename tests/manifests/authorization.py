"""Evaluates Istio AuthorizationPolicies at a gateway (source: Istio reference, Authorization Policy; Envoy's RBAC)."""

from dataclasses import dataclass, field
from typing import Any

Fields = dict[str, Any]

_OPERATION = {"hosts", "notHosts", "paths", "notPaths", "methods", "notMethods", "ports", "notPorts"}
_SOURCE = {"requestPrincipals", "notRequestPrincipals", "namespaces", "principals"}


@dataclass(frozen=True)
class Request:
    """What a gateway sees of a request; `principal` is `<issuer>/<subject>` of a token that was accepted."""

    host: str
    path: str
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    principal: str | None = None


def denied(policies: list[Fields], request: Request) -> bool:
    """Whether any DENY policy refuses the request; raises AssertionError on a field this evaluator does not know."""
    return any(_matches(rule, request) for policy in policies for rule in _rules(policy))


def _rules(policy: Fields) -> list[Fields]:
    assert policy["spec"]["action"] == "DENY", "an ALLOW policy would close the gateway to all other hosts"
    rules: list[Fields] = policy["spec"]["rules"]
    return rules


def _matches(rule: Fields, request: Request) -> bool:
    assert rule.keys() <= {"from", "to", "when"}
    return (
        ("from" not in rule or any(_source(entry["source"], request) for entry in rule["from"]))
        and ("to" not in rule or any(_operation(entry["operation"], request) for entry in rule["to"]))
        and all(_condition(entry, request) for entry in rule.get("when", []))
    )


def _source(source: Fields, request: Request) -> bool:
    assert source.keys() <= _SOURCE
    return _both_ways(source, "requestPrincipals", "notRequestPrincipals", request.principal)


def _operation(operation: Fields, request: Request) -> bool:
    assert operation.keys() <= _OPERATION
    return all(
        _both_ways(operation, name, "not" + name[0].upper() + name[1:], value)
        for name, value in (
            ("hosts", request.host.lower()),
            ("paths", request.path.partition("?")[0]),
            ("methods", request.method),
        )
    )


def _condition(condition: Fields, request: Request) -> bool:
    key = condition["key"]
    assert key.startswith("request.headers[")
    value = request.headers.get(key.removeprefix("request.headers[").removesuffix("]"))
    return _both_ways(condition, "values", "notValues", value)


def _both_ways(fields: Fields, positive: str, negative: str, value: str | None) -> bool:
    if positive in fields and not any(_fits(pattern, value) for pattern in fields[positive]):
        return False
    return not (negative in fields and any(_fits(pattern, value) for pattern in fields[negative]))


def _fits(pattern: str, value: str | None) -> bool:
    if value is None:
        return False
    if pattern == "*":
        return value != ""
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    return value == pattern
