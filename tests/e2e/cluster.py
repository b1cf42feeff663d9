"""A cluster as the end-to-end run sees it: applies objects, asks for the InferenceService and its pods, tidies up."""

import base64
import copy
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kserve import KServeClient
from kubernetes import client
from kubernetes.client.exceptions import ApiException

Document = Mapping[str, Any]
Pod = Any
"""A pod as the client library gives it."""
PLURALS = {
    "AuthorizationPolicy": "authorizationpolicies",
    "NetworkPolicy": "networkpolicies",
}
CLUSTER_WIDE = {"Namespace"}
# What the rest needs comes first, and goes last.
FIRST = ("Namespace", "ServiceAccount", "ConfigMap", "NetworkPolicy", "Service", "Deployment")
MANAGER = "sentiment-e2e"
MODE_ANNOTATION = "serving.kserve.io/deploymentMode"


_CACHE_SECRET = "sentiment-cache"


class ClusterError(Exception):
    """The cluster did not do what was asked within the time."""


def path_of(document: Document) -> str:
    """Give the API path of an object."""
    kind, metadata = document["kind"], document["metadata"]
    version = document["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    scope = "" if kind in CLUSTER_WIDE else f"/namespaces/{metadata.get('namespace', 'default')}"
    return f"{root}{scope}/{PLURALS.get(kind, kind.lower() + 's')}/{metadata['name']}"


def in_order(documents: Iterable[Document]) -> list[Document]:
    """Sort objects so that each finds what it needs."""
    rank = {kind: i for i, kind in enumerate(FIRST)}
    return sorted(documents, key=lambda document: rank.get(document["kind"], len(FIRST)))


class Cluster:
    """One namespace of one cluster.

    Args:
        kubeconfig: None for the user's own.
        context: None for the current one.
        namespace: where the service lives.
        service: the InferenceService's name.
        pause_s: between two looks at something that takes time.

    Attributes:
        core: the API of pods and what is near them.
        name: the InferenceService's.
    """

    def __init__(
        self,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        namespace: str = "sentiment",
        service: str = "sentiment",
        pause_s: float = 2.0,
    ) -> None:
        self._kserve = KServeClient(config_file=str(kubeconfig) if kubeconfig else None, context=context)
        # The library's types allow for everything to be absent.
        self.core: Any = client.CoreV1Api()
        self._custom = client.CustomObjectsApi()
        self.namespace = namespace
        self.name = service
        self.pause_s = pause_s

    def apply(self, documents: Iterable[Document]) -> None:
        """Apply objects on the server's side, what others need first."""
        for document in in_order(documents):
            self._call("PATCH", path_of(document), [("fieldManager", MANAGER), ("force", "true")], json.dumps(document))

    def dry_run(self, document: Document) -> list[str]:
        """Apply an object as far as admission and no further; give what the cluster warns of."""
        query = [("fieldManager", MANAGER), ("force", "true"), ("dryRun", "All")]
        headers = self._call("PATCH", path_of(document), query, json.dumps(document))
        return [text for name, text in headers.items() if name.lower() == "warning"]

    def get(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Read what is at a path of the API, a Service behind its proxy for example."""
        api = self.core.api_client
        response = api.call_api(
            *api.param_serialize(
                method="GET", resource_path=path, query_params=list((query or {}).items()),
                header_params={"Accept": "application/json"}, auth_settings=["BearerToken"],
            )
        )  # fmt: skip
        body: bytes = response.read()
        if response.status >= 300:
            raise ApiException(http_resp=response)
        return body.decode()

    def exists(self, document: Document) -> bool:
        """Say whether an object is there."""
        try:
            self.get(path_of(document))
        except ApiException as error:
            if error.status == 404:
                return False
            raise
        return True

    def is_leaving(self, namespace: str) -> bool:
        """Say whether a namespace is there and being removed, and takes nothing new until it is gone."""
        try:
            phase: str = self.core.read_namespace(namespace).status.phase
        except ApiException as error:
            if error.status == 404:
                return False
            raise
        return phase == "Terminating"

    def version(self) -> str:
        """Give the cluster's version as ``v1.34``."""
        found = client.VersionApi().get_code()
        return f"v{found.major}.{found.minor.rstrip('+')}"

    def groups(self) -> set[str]:
        """Give the API groups that the cluster serves."""
        return {group.name for group in client.ApisApi().get_api_versions().groups}

    def delete(self, documents: Iterable[Document]) -> None:
        """Delete objects, in reverse; what is gone already is no matter."""
        for document in reversed(in_order(documents)):
            try:
                self._call("DELETE", path_of(document), [("propagationPolicy", "Foreground")])
            except ApiException as error:
                if error.status != 404:
                    raise

    def ensure_cache_secret(self) -> None:
        """Make the Secret that Redis and the transformer share, unless there is one."""
        try:
            self.core.create_namespaced_secret(self.namespace, _cache_secret())
        except ApiException as error:
            if error.status != 409:
                raise

    def replace_cache_secret(self) -> dict[str, str]:
        """Put new words into it; give them."""
        self.core.replace_namespaced_secret(_CACHE_SECRET, self.namespace, _cache_secret())
        return self.cache_secret()

    def cache_secret(self) -> dict[str, str]:
        """Give its words."""
        found = self.core.read_namespaced_secret(_CACHE_SECRET, self.namespace).data
        return {name: base64.b64decode(value).decode() for name, value in found.items()}

    def wait_ready(self, *, timeout_s: float) -> None:
        """Wait until the InferenceService is Ready; says what is not when it takes too long.

        It may still be so from before a change: KServe 0.20 leaves ``observedGeneration`` at the first one. Who changes
        something waits for what the change brings.
        """
        self.wait(lambda: self.is_ready() and self._settled(), timeout_s=timeout_s, what=self.not_ready)

    def _settled(self) -> bool:
        """Say whether the newest revision of each component has all traffic."""
        shares = {component: self.traffic(component) for component in ("transformer", "predictor")}
        return all(traffic == {self.revisions(name)[-1]: 100} for name, traffic in shares.items() if traffic)

    def is_ready(self) -> bool:
        """Say whether the InferenceService is Ready."""
        return bool(self._kserve.is_isvc_ready(self.name, namespace=self.namespace))

    def service(self) -> dict[str, Any]:
        """Give the InferenceService."""
        found: dict[str, Any] = self._kserve.get(self.name, namespace=self.namespace)
        return found

    @property
    def mode(self) -> str:
        """How KServe deploys the service: ``Knative`` or ``Standard``."""
        mode: str = self.service()["metadata"].get("annotations", {}).get(MODE_ANNOTATION, "Knative")
        return mode

    def patch_service(self, operations: Sequence[Mapping[str, Any]]) -> None:
        """Change the InferenceService by JSON patch."""
        self._custom.patch_namespaced_custom_object(
            "serving.kserve.io", "v1beta1", self.namespace, "inferenceservices", self.name,
            [dict(operation) for operation in operations],
            _content_type="application/json-patch+json",
        )  # fmt: skip

    def url(self) -> tuple[str, str]:
        """Give the scheme and the host under which the gateway knows the service."""
        url: str = self.service()["status"]["url"]
        scheme, host = url.split("://", 1)
        return scheme, host

    def gateway_authority(self) -> str | None:
        """Give the certificate authority of the gateway's certificate; None where it names none, as public ones do."""
        try:
            secret = self.core.read_namespaced_secret("gateway-certificate", "istio-system")
        except ApiException as error:
            if error.status in (403, 404):
                return None
            raise
        found = (secret.data or {}).get("ca.crt")
        return base64.b64decode(found).decode() if found else None

    def traffic(self, component: str) -> dict[str, int]:
        """Give the percentage each revision of a component gets."""
        shares = self.service()["status"]["components"][component].get("traffic", [])
        found: dict[str, int] = {}
        for share in shares:
            found[share["revisionName"]] = found.get(share["revisionName"], 0) + share.get("percent", 0)
        return {name: percent for name, percent in found.items() if percent}

    def pods(self, component: str) -> list[Pod]:
        """Give a component's pods that are Ready, not on their way out, and of a revision that gets traffic."""
        labels = f"serving.kserve.io/inferenceservice={self.name},component={component}"
        serving = self.traffic(component)
        return [
            pod
            for pod in self.core.list_namespaced_pod(self.namespace, label_selector=labels).items
            if serves(pod)
            # In Standard mode there are no revisions.
            and (not serving or pod.metadata.labels.get("serving.knative.dev/revision") in serving)
        ]

    def ready_pods(self, component: str) -> int:
        """Count them."""
        return len(self.pods(component))

    def pod_names(self) -> dict[str, list[str]]:
        """Give the names of each component's pods, those on their way out among them."""
        labels = f"serving.kserve.io/inferenceservice={self.name}"
        found: dict[str, list[str]] = {}
        for pod in self.core.list_namespaced_pod(self.namespace, label_selector=labels).items:
            found.setdefault(pod.metadata.labels["component"], []).append(pod.metadata.name)
        return found

    def deployment(self, component: str) -> dict[str, Any]:
        """Give a component's Deployment, as Standard mode makes it."""
        return self.read(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}-{component}")

    def read(self, path: str) -> dict[str, Any]:
        """Give any object by its API path."""
        api = self.core.api_client
        response = api.call_api(
            *api.param_serialize(
                method="GET", resource_path=path, header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
            )
        )  # fmt: skip
        found: dict[str, Any] = json.loads(response.read())
        if response.status >= 300:
            raise ApiException(http_resp=response)
        return found

    def change(
        self, operations: Sequence[Mapping[str, Any]], *, component: str, timeout_s: float, share: int = 100
    ) -> str:
        """Change a component's pods and wait until the revision that this makes has its share; give its name."""
        before = set(self.revisions(component))
        self.patch_service(operations)
        new: set[str] = set()

        def done() -> bool:
            new.update(set(self.traffic(component)) - before)
            return bool(new) and self.traffic(component).get(max(new), 0) == share and self.is_ready()

        self.wait(
            done,
            timeout_s=timeout_s,
            what=lambda: f"traffic of the {component} {self.traffic(component)}; {self.not_ready()}",
        )
        return max(new)

    def revisions(self, component: str) -> list[str]:
        """Give the names of a component's revisions, the oldest first."""
        labels = f"serving.kserve.io/inferenceservice={self.name},component={component}"
        found: Any = self._custom.list_namespaced_custom_object(
            "serving.knative.dev", "v1", self.namespace, "revisions", label_selector=labels
        )
        return sorted(each["metadata"]["name"] for each in found["items"])

    @contextmanager
    def changed(self, operations: Sequence[Mapping[str, Any]], *, component: str, timeout_s: float) -> Iterator[str]:
        """Change a component's pods for a block; give the revision. As it was, it is again afterwards."""
        spec = copy.deepcopy(self.service()["spec"][component])
        try:
            yield self.change(operations, component=component, timeout_s=timeout_s)
        finally:
            back = [{"op": "replace", "path": f"/spec/{component}", "value": spec}]
            self.change(back, component=component, timeout_s=timeout_s)

    def gateway_address(self) -> str:
        """Give the address of Istio's gateway; raises ClusterError when it has none."""
        service = self.core.read_namespaced_service("istio-ingressgateway", "istio-system")
        for ingress in service.status.load_balancer.ingress or ():
            return str(ingress.ip or ingress.hostname)
        raise ClusterError("the gateway's Service has no address: give one with --gateway")

    def wait(self, done: Callable[[], bool], *, timeout_s: float, what: Callable[[], str]) -> None:
        """Look again and again; raises ClusterError with ``what`` when the time is over."""
        deadline_s = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline_s:
                raise ClusterError(f"not within {timeout_s:g} s: {what()}")
            time.sleep(self.pause_s)

    def not_ready(self) -> str:
        """Say which conditions do not hold."""
        conditions = self.service().get("status", {}).get("conditions", [])
        wrong = [
            f"{each['type']} is {each['status']}: {each.get('reason', '')} {each.get('message', '')}".strip()
            for each in conditions
            # What is for information repeats the others, or says, like Stopped, what need not hold.
            if each["status"] != "True" and each.get("severity") != "Info"
        ]
        return "; ".join(wrong) or "no condition that is not true"

    def _call(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: str | None = None
    ) -> Mapping[str, str]:
        api = self.core.api_client
        headers = {"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"}
        response = api.call_api(
            *api.param_serialize(
                method=method, resource_path=path, query_params=list(query), header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )
        )  # fmt: skip
        response.read()
        if response.status >= 300:
            raise ApiException(http_resp=response)
        return dict(response.getheaders() or {})


def serves(pod: Pod) -> bool:
    """Say whether a pod is Ready and not on its way out."""
    return pod.metadata.deletion_timestamp is None and any(
        condition.type == "Ready" and condition.status == "True" for condition in pod.status.conditions or ()
    )


def _cache_secret() -> client.V1Secret:
    words = {key: secrets.token_hex(32) for key in ("redis-password", "hash-secret")}
    return client.V1Secret(metadata=client.V1ObjectMeta(name=_CACHE_SECRET), string_data=words)
