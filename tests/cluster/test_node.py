"""The node does what a node does: limits, confinement, names, addresses, policies, streams."""

import contextlib
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cluster.pods import Kubectl, pod

PORT = 8000
SERVE = f"""
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from a pod")
        print("asked by", self.client_address[0])
http.server.ThreadingHTTPServer(("", {PORT}), Answer).serve_forever()
"""
ASK = """
import sys, urllib.request
try:
    print(urllib.request.urlopen("http://%s", timeout=5).read().decode())
except OSError as error:
    print("refused:", error)
"""
CONFINED = """
import json, os, pathlib
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
def tried(path):
    try:
        pathlib.Path(path).write_text("x")
    except OSError as error:
        return error.strerror
    return "written"
limits = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max")
quotas = ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu.max")
def read(paths):
    return next(pathlib.Path(path).read_text().split()[0] for path in paths if os.path.exists(path))
print(json.dumps({
    "user": os.getuid(),
    "seccomp": status["Seccomp"].strip(),
    "new privileges barred": status["NoNewPrivs"].strip(),
    "capabilities": status["CapEff"].strip(),
    "root": tried("/file"),
    "tmp": tried("/tmp/file"),
    "memory": read(limits),
    "quota": read(quotas),
}))
"""


def service(name: str, **spec: Any) -> dict[str, Any]:
    body = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


def policy(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, **spec},
    }


def asked(kubectl: Kubectl, name: str, address: str, labels: Mapping[str, str] | None = None) -> str:
    """What a pod of its own hears from an address."""
    _, printed = kubectl.run_to_its_end(pod(name, ASK % address, labels=labels))
    return printed


def test_a_pod_is_confined_as_it_asks(kubectl: Kubectl) -> None:
    phase, printed = kubectl.run_to_its_end(pod("confined", CONFINED))
    assert phase == "Succeeded"
    assert json.loads(printed) == {
        "user": 10001,
        "seccomp": "2",
        "new privileges barred": "1",
        "capabilities": "0" * 16,
        "root": "Read-only file system",
        "tmp": "written",
        "memory": str(96 * 2**20),
        "quota": "50000",
    }


def test_a_pod_that_takes_more_memory_than_its_limit_is_killed(kubectl: Kubectl) -> None:
    kubectl.run_to_its_end(pod("greedy", "held = bytearray(200 * 2**20); print(len(held))"))
    (state,) = kubectl.read("pod/greedy")["status"]["containerStatuses"]
    assert state["state"]["terminated"]["reason"] == "OOMKilled"


def test_pod_security_refuses_what_is_not_restricted(kubectl: Kubectl) -> None:
    privileged = pod("privileged", "pass")
    privileged["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    refused = kubectl.tried("apply", "--filename=-", given=json.dumps(privileged))
    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted:latest": privileged' in refused.stderr


def test_an_account_without_rights_may_not(kubectl: Kubectl) -> None:
    who = f"--as=system:serviceaccount:{kubectl.namespace}:default"
    assert kubectl.tried("auth", "can-i", "list", "secrets", who).stdout.strip() == "no"
    assert "forbidden" in kubectl.tried("get", "secrets", who).stderr


def test_a_service_is_reached_by_name_by_address_and_from_this_machine(kubectl: Kubectl) -> None:
    kubectl.apply(pod("server", SERVE, port=PORT), service("server", type="LoadBalancer"))
    kubectl.wait_ready("server")
    assert asked(kubectl, "by-name", "server") == "hello from a pod\n"
    assert asked(kubectl, "by-long-name", f"server.{kubectl.namespace}.svc.cluster.local") == "hello from a pod\n"
    limit_s = time.monotonic() + 30
    while not (given := kubectl.read("service/server")["status"]["loadBalancer"].get("ingress")):
        assert time.monotonic() < limit_s
        time.sleep(0.2)
    found = kubectl.read("service/server")["spec"]["clusterIP"]
    address = kubectl.read("pod/server")["status"]["podIP"]
    for place in (given[0]["ip"], found, f"{address}:{PORT}"):
        with urllib.request.urlopen(f"http://{place}", timeout=10) as answer:
            assert answer.read() == b"hello from a pod"


def test_a_pod_that_no_policy_lets_in_hears_nothing(make_namespace: Callable[[], Kubectl]) -> None:
    inside, outside = make_namespace(), make_namespace()
    inside.apply(pod("server", SERVE, port=PORT), service("server"), policy("deny", policyTypes=["Ingress"]))
    # Kubelet's probe comes through a policy that lets nobody in.
    inside.wait_ready("server")
    address = f"server.{inside.namespace}"
    assert "timed out" in asked(outside, "stranger", address)
    assert "timed out" in asked(inside, "neighbour", address)
    friends = {"podSelector": {"matchLabels": {"friend": "yes"}}}
    inside.apply(policy("friends", policyTypes=["Ingress"], ingress=[{"from": [friends]}]))
    assert asked(inside, "friend", address, {"friend": "yes"}) == "hello from a pod\n"
    assert "timed out" in asked(inside, "no-friend", address, {"friend": "no"})
    assert "timed out" in asked(outside, "a-namesake", address, {"friend": "yes"})
    guests = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": outside.namespace}}}
    inside.apply(policy("guests", policyTypes=["Ingress"], ingress=[{"from": [guests]}]))
    assert asked(outside, "guest", address) == "hello from a pod\n"


def test_a_pod_that_no_policy_lets_out_reaches_nothing(kubectl: Kubectl) -> None:
    kubectl.apply(pod("server", SERVE, port=PORT), service("server"))
    kubectl.wait_ready("server")
    address = kubectl.read("pod/server")["status"]["podIP"]
    kubectl.apply(policy("deny", policyTypes=["Egress"]))
    assert "timed out" in asked(kubectl, "caller", f"{address}:{PORT}")
    to_server = {"to": [{"podSelector": {"matchLabels": {"app": "server"}}}], "ports": [{"port": PORT}]}
    kubectl.apply(policy("server", policyTypes=["Egress"], egress=[to_server]))
    assert asked(kubectl, "caller-2", f"{address}:{PORT}") == "hello from a pod\n"
    # Names are refused as well, since DNS is another pod; a policy lets out what goes to its port, as on any cluster.
    assert "refused" in asked(kubectl, "caller-3", "server")
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    to_names = {"to": [system], "ports": [{"port": 53, "protocol": "UDP"}]}
    kubectl.apply(policy("names", policyTypes=["Egress"], egress=[to_names]))
    assert asked(kubectl, "caller-4", "server") == "hello from a pod\n"


def test_commands_logs_and_ports_come_through(kubectl: Kubectl) -> None:
    kubectl.apply(pod("server", SERVE, port=PORT))
    kubectl.wait_ready("server")
    assert kubectl("exec", "server", "--", "python", "-c", "print(6 * 7)") == "42\n"
    forward = [*kubectl.command, "port-forward", "pod/server", f":{PORT}"]
    with subprocess.Popen(forward, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert port
            with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}", timeout=10) as answer:
                assert answer.read() == b"hello from a pod"
        finally:
            process.terminate()
    assert "asked by" in kubectl("logs", "server")


def test_what_pods_use_is_measured(kubectl: Kubectl) -> None:
    kubectl.apply(pod("busy", "while True: sum(range(1000))"))
    kubectl.wait_ready("busy")
    limit_s = time.monotonic() + 100
    while time.monotonic() < limit_s:
        with contextlib.suppress(AssertionError, StopIteration):
            line = next(line for line in kubectl("top", "pods").splitlines() if line.startswith("busy"))
            assert int(line.split()[1].removesuffix("m")) > 50
            return
        time.sleep(2)
    pytest.fail(kubectl.tried("top", "pods").stderr)
