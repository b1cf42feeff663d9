"""What the gateway lets through: paths, sizes, rates, tokens and keys."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO

import yaml
from e2e.cluster import Document
from e2e.elsewhere import moved
from e2e.gateway import Gateway, Reply
from e2e.stage import CheckError, Stage
from e2e.tokens import ISSUER, Issuer
from e2e.workloads import Workloads

from manifests.render import render

BODY = '{"text": ["I love you."]}'
# Method and target of what is for nobody outside.
HIDDEN = [
    ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/docs"), ("GET", "/playground"),
    ("POST", "/v2/repository/models/sentiment/load"), ("POST", "/v2/repository/models/sentiment/unload"),
    ("POST", "/v2/repository/index"), ("POST", "/v2/models/other/infer"), ("POST", "/v1/models/other:predict"),
    ("PUT", "/predict"), ("DELETE", "/predict"), ("OPTIONS", "/predict"), ("TRACE", "/predict"), ("FOO", "/predict"),
]  # fmt: skip
# How the same is written by whoever tries to get past a rule.
DISGUISES = [
    "/%6detrics", "/%6Detrics", "/%256detrics", "//metrics", "///metrics", "/./metrics", "/predict/../metrics",
    "/predict/%2e%2e/metrics", "/predict/%2E%2E%2Fmetrics", "/predict/..%2fmetrics", "/predict/..%5cmetrics",
    "/predict\\..\\metrics", "/predict/..;/metrics", "/predict;/../metrics", "/metrics;a", "/metrics/", "/metrics%00",
    "/metrics%20", "/metrics?", "/metrics?a=/predict", "/metrics%3f", "/metrics%23", "/METRICS", "/Metrics",
    "/predict/metrics", "/healthz/../metrics", "metrics", "*",
]  # fmt: skip
PUBLIC = {
    ("GET", "/health"): 200, ("GET", "/v1/models"): 200, ("GET", "/v1/models/sentiment"): 200, ("GET", "/v2"): 200,
    ("GET", "/v2/health/live"): 200, ("GET", "/v2/health/ready"): 200, ("GET", "/v2/models/sentiment"): 200,
    ("GET", "/v2/models/sentiment/ready"): 200, ("POST", "/"): 200, ("POST", "/predict"): 200,
    ("POST", "/v1/models/sentiment:predict"): 200, ("GET", "/predict"): 405,
}  # fmt: skip


def paths(stage: Stage) -> str:
    """Inference and health are reachable from outside and nothing else, however it is written."""
    gateway = stage.gateway
    wrong = [
        f"{method} {target} is {reply.status}, not {status}"
        for (method, target), status in PUBLIC.items()
        if (reply := gateway.ask(method, target, BODY if method == "POST" else None)).status != status
    ]
    host = gateway.host
    tried = [
        *HIDDEN,
        *(("GET", target) for target in DISGUISES),
        *(("GET", f"{scheme}://{host}/metrics") for scheme in ("http", "https", "HTTP")),
        ("GET", f"http://{host}/predict/../metrics"),
        ("GET", f"http://{host.upper()}/metrics"),
        ("GET", f"http://{host}./metrics"),
        ("GET", f"http://{host}:80/metrics"),
        ("GET", f"http://x@{host}/metrics"),
    ]
    for name in (host, host.upper(), f"{host}.", f"{host}:80", f"{host}:443"):
        for method, target in tried:
            reply = gateway.ask(method, target, BODY if method == "POST" else None, {"host": name})
            if not _closed(reply):
                wrong.append(f"{method} {target} for {name} is {reply.status}: {reply.body[:60]!r}")
    if wrong:
        raise CheckError("; ".join(wrong))
    return f"{len(PUBLIC)} ways in are open, {len(tried)} others are closed, each under five spellings of the name"


def _closed(reply: Reply) -> bool:
    # Refused by the gateway, or by a server that knows no such route; never a page, never a 500.
    return reply.status in {400, 403, 404, 405, 421, 501} and b"transformer_" not in reply.body


@contextmanager
def applied(stage: Stage, documents: list[Document]) -> Iterator[None]:
    """Apply objects for a block; one that is there already belongs to the installation and stays as it is."""
    new = [document for document in documents if not stage.cluster.exists(document)]
    try:
        stage.cluster.apply(new)
        yield
    finally:
        stage.cluster.delete(new)


def component(stage: Stage, name: str, kinds: set[str], settings: dict[str, str] | None = None) -> list[Document]:
    """Give what a component adds to the base, of some kinds, as it is for the service's namespace."""
    found = yaml.safe_load_all(render("base", [name], settings or {}))
    return moved([document for document in found if document["kind"] in kinds], stage.cluster.namespace)


def _eventually(stage: Stage, wanted: int, ask: Callable[[], Reply]) -> None:
    seen: list[int] = []

    def done() -> bool:
        seen.append(ask().status)
        return seen[-1] == wanted

    stage.cluster.wait(done, timeout_s=stage.limits.policy_s, what=lambda: f"still {seen[-1]}, and not {wanted}")


def sizes_and_rates(stage: Stage) -> str:
    """`gateway-limits`: a flood is told to slow down, other hosts are not; what is far too large stays outside."""
    gateway = stage.gateway
    hidden = gateway.ask("GET", "/metrics").status
    with applied(stage, component(stage, "gateway-limits", {"EnvoyFilter"})):
        large = b" " * (5 << 19)
        _eventually(stage, 413, lambda: _told_by_gateway(gateway, large))
        own = gateway.ask("POST", "/predict", b" " * (3 << 19))
        if own.status != 413 or json.loads(own.body)["code"] != "payload_too_large":
            raise CheckError(f"1.5 MiB got {own.status} {own.body[:80]!r}, not the transformer's own refusal")
        flood, other = _flood(gateway, gateway.host), _flood(gateway, f"other.{gateway.host}")
        if not flood[429] or other[429]:
            raise CheckError(f"a flood got {dict(flood)}, another host's {dict(other)}")
        time.sleep(2)
        calm = gateway.post(["after the flood"])
        if calm.status != 200:
            raise CheckError(f"after the flood a request got {calm.status}")
    _eventually(stage, hidden, lambda: gateway.ask("GET", "/metrics"))
    words = f"{flood[429]} of {flood.total()} at once were told 429 with Retry-After"
    return f"{words}, of another host's {other.total()} none"


def _told_by_gateway(gateway: Gateway, body: bytes) -> Reply:
    reply = gateway.ask("POST", "/predict", body)
    return reply if b'"code"' not in reply.body else Reply(status=-reply.status, body=reply.body)


def _flood(gateway: Gateway, host: str) -> Counter[int]:
    """Ask what the gateway answers itself, over several connections, as fast as it goes."""
    # Of more than two at once Envoy answers two and closes.
    request = f"GET /metrics HTTP/1.1\r\nhost: {host}\r\n\r\n".encode() * 2

    def one(_: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        with contextlib.closing(gateway.connection()) as connection:
            connection.connect()
            reader = connection.sock.makefile("rb")
            for _ in range(600):
                connection.sock.sendall(request)
                for _ in range(2):
                    status, headers = _read_head(reader)
                    seen[status] += 1
                    if status == 429 and "retry-after" not in headers:
                        raise CheckError("a 429 came without Retry-After")
        return seen

    with ThreadPoolExecutor(4) as several:
        return sum(several.map(one, range(4)), Counter())


def _read_head(reader: BinaryIO) -> tuple[int, dict[str, str]]:
    status = int(reader.readline().split()[1])
    headers: dict[str, str] = {}
    while line := reader.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    reader.read(int(headers.get("content-length", "0")))
    return status, headers


def api_key(stage: Stage) -> str:
    """`api-key`: nobody passes before keys are set, then whoever has one; health and callers inside need none."""
    gateway = stage.gateway

    def status(key: str | None) -> int:
        return gateway.post(["who am I"], {"x-api-key": key} if key is not None else {}).status

    documents = component(stage, "api-key", {"AuthorizationPolicy"})
    if any(map(stage.cluster.exists, documents)):
        return "in force already, with keys that nobody here knows: left alone"
    with applied(stage, documents):
        _eventually(stage, 403, lambda: gateway.post(["who am I"]))
        locked = {key: status(key) for key in ("", "no key is set", "guess")}
        # As manifests/README.md says.
        for document in documents:
            document["spec"]["rules"][0]["when"][0]["notValues"] = ["key-of-a", "key-of-b"]
        stage.cluster.apply(documents)
        _eventually(stage, 200, lambda: gateway.post(["who am I"], {"x-api-key": "key-of-a"}))
        seen = {key: status(key) for key in (None, "", "key-of-", "key-of-a,key-of-b", "key-of-b")}
        free = _free(stage)
    if set(locked.values()) != {403} or seen.pop("key-of-b") != 200 or set(seen.values()) != {403}:
        raise CheckError(f"without keys {locked}, with them {seen}")
    _eventually(stage, 200, lambda: gateway.post(["who am I"]))
    return f"403 until keys are set, then 200 with one and 403 without; none needed for {free}"


def jwt(stage: Stage) -> str:
    """`jwt`: 403 without a token, 401 with a wrong one, 200 with the issuer's; health needs none."""
    gateway, workloads = stage.gateway, Workloads(stage.cluster)
    if any(map(stage.cluster.exists, component(stage, "jwt", {"RequestAuthentication"}))):
        return "in force already, with an issuer whose key nobody here has: left alone"
    issuer, stranger = Issuer(), Issuer()

    def status(token: str | None) -> int:
        return gateway.post(["who am I"], {"authorization": f"Bearer {token}"} if token else {}).status

    with workloads.namespace() as namespace:
        workloads.start(namespace, "keys", issuer.server(port=8000), port=8000)
        settings = {"jwt_issuer": ISSUER, "jwks_uri": f"http://keys.{namespace}.svc.cluster.local:8000/keys"}
        with applied(stage, component(stage, "jwt", {"RequestAuthentication", "AuthorizationPolicy"}, settings)):
            _eventually(stage, 403, lambda: gateway.post(["who am I"]))
            _eventually(stage, 200, lambda: gateway.post(["who am I"], {"authorization": f"Bearer {issuer.token()}"}))
            seen = {
                "none": status(None),
                "nonsense": status("nonsense"),
                "of a stranger": status(stranger.token()),
                "expired": status(issuer.token(life_s=-3600)),
                "for another audience": status(issuer.token(audience="other")),
                "of another issuer": status(issuer.token(issuer="https://other.example.com")),
                "good": status(issuer.token()),
            }
            free = _free(stage)
    refused = {name: code for name, code in seen.items() if name not in {"none", "good"}}
    if seen["none"] != 403 or seen["good"] != 200 or not set(refused.values()) <= {401, 403}:
        raise CheckError(f"tokens got {seen}")
    _eventually(stage, 200, lambda: gateway.post(["who am I"]))
    return f"403 without a token, 200 with one, others {refused}; none needed for {free}"


def _free(stage: Stage) -> str:
    """Say what is answered without a key or token: health and, where they may call at all, callers inside."""
    found = {"health": stage.gateway.ask("GET", "/health").status}
    # In Standard mode the gateway alone may call.
    if stage.cluster.mode == "Knative":
        found["callers inside"] = asked_inside(stage)
    if set(found.values()) != {200}:
        raise CheckError(f"without a key or token they got {found}")
    return " and ".join(found)


def asked_inside(stage: Stage) -> int:
    """Post from another namespace, by the name that Knative gives to callers inside; give the status."""
    name = f"{stage.cluster.name}.{stage.cluster.namespace}.svc.cluster.local"
    program = f"""
import urllib.error, urllib.request as u
try:
    print(u.urlopen(u.Request("http://{name}/predict", {BODY.encode()!r}), timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
    workloads = Workloads(stage.cluster)
    with workloads.namespace() as namespace:
        return int(workloads.run(namespace, program))
