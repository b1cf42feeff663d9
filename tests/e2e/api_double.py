"""An API server that keeps what is applied and answers as KServe's and Knative's controllers would have it answer."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml

CONDITIONS = json.loads((Path(__file__).parent / "recorded" / "conditions.json").read_text())
NOT_FOUND = json.loads((Path(__file__).parent / "recorded" / "not_found.json").read_text())
PODS = "/api/v1/namespaces/sentiment/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/sentiment/deployments/sentiment-"
_ALL = [{"latestRevision": True, "percent": 100, "revisionName": "sentiment-transformer-00001"}]
SERVICE = "/apis/serving.kserve.io/v1beta1/namespaces/sentiment/inferenceservices/sentiment"
REVISIONS = "/apis/serving.knative.dev/v1/namespaces/sentiment/revisions"


class ApiDouble:
    """Set its attributes to say how the cluster fares.

    Attributes:
        progressing: looks at the InferenceService after a change that still find it not ready.
        broken: whether it never gets ready.
        canary_share: percentage that a canary really gets, None for what was asked.
        pods: pods by component, all Ready but for those that are leaving or starting.
        rolls: whether a Deployment replaces its pods after a change.
        deleted: names of pods that were deleted; others take their places.
        left_over: further ones of a revision that gets no traffic any more.
        objects: what was applied, by path.
        groups: API groups that are served.
        refused: what admission says of an object, by path.
        warned: what it warns of, by path.
        log: method and path of every request.
    """

    def __init__(self) -> None:
        self.progressing = 2
        self.broken = False
        self.canary_share: int | None = None
        self.pods = {"transformer": 1, "predictor": 1}
        self.leaving = self.starting = self.left_over = 0
        self.rolls = True
        self.deleted: list[str] = []
        self.objects: dict[str, dict[str, Any]] = {}
        self.groups = ["apps", "serving.kserve.io"]
        self.refused: dict[str, str] = {}
        self.warned: dict[str, str] = {}
        self.log: list[str] = []
        self._looks = 0
        self._templates: list[str] = []
        self._rolled_out = 1
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig that leads here."""
        path = folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "double",
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "nobody"}}],
            "clusters": [{"name": "double", "cluster": {"server": self.url}}],
            "users": [{"name": "nobody", "user": {}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: str) -> tuple[int, dict[str, Any]]:
        """Answer one request."""
        self.log.append(f"{method} {path}")
        if method == "PATCH":
            if path in self.refused:
                return 400, {"kind": "Status", "code": 400, "message": self.refused[path]}
            said = json.loads(body)
            return 200, said if query.get("dryRun") == ["All"] else self._patch(path, said)
        if method == "POST":
            return 201, json.loads(body)
        return self._look(method, path, query)

    def _look(self, method: str, path: str, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        if path == "/apis/":
            return 200, {"kind": "APIGroupList", "groups": [_group(name) for name in self.groups]}
        if path in (PODS, REVISIONS):
            _, chosen, component = query["labelSelector"][0].rpartition("component=")
            named = [component] if chosen else list(self.pods)
            make = self._pods if path == PODS else self._revisions
            return 200, {"kind": "List", "items": [each for name in named for each in make(name)]}
        if method == "DELETE":
            return self._delete(path)
        if path.removeprefix(DEPLOYMENTS) in self.pods:
            return 200, self._deployment(path.removeprefix(DEPLOYMENTS))
        if path not in self.objects:
            return 404, NOT_FOUND
        return 200, self._inference_service() if path == SERVICE else self.objects[path]

    def _delete(self, path: str) -> tuple[int, dict[str, Any]]:
        if path.startswith(f"{PODS}/"):
            self.deleted.append(path.removeprefix(f"{PODS}/"))
            return 200, {"kind": "Pod"}
        if path not in self.objects:
            return 404, NOT_FOUND
        return 200, self.objects.pop(path)

    def _patch(self, path: str, body: Any) -> dict[str, Any]:
        if isinstance(body, dict):
            self.objects[path] = body
        else:
            for operation in body:
                _change(self.objects[path], operation)
                if path == SERVICE and operation["path"].endswith("/minReplicas"):
                    self.pods[operation["path"].split("/")[2]] = operation["value"]
        if path == SERVICE:
            self._looks = 0
            changed = self.objects[path]
            changed["metadata"]["generation"] = changed["metadata"].get("generation", 0) + 1
            predictor = dict(changed["spec"]["predictor"])
            share = predictor.pop("canaryTrafficPercent", None)
            template = json.dumps(predictor, sort_keys=True)
            if self._templates[-1:] != [template]:
                self._templates.append(template)
            if share is None:
                self._rolled_out = len(self._templates)
        return self.objects[path]

    def _deployment(self, component: str) -> dict[str, Any]:
        count = self.pods[component]
        return {
            "kind": "Deployment",
            "metadata": {"generation": 2},
            "spec": {"template": {"spec": {"containers": self.objects[SERVICE]["spec"][component]["containers"]}}},
            "status": {
                "observedGeneration": 2,
                "replicas": count,
                "updatedReplicas": count if self.rolls else 0,
                "availableReplicas": count,
            },
        }

    def _inference_service(self) -> dict[str, Any]:
        self._looks += 1
        ready = self._looks > self.progressing and not self.broken
        document = self.objects[SERVICE]
        state = "ready" if ready else "broken" if self.broken else "progressing"
        status = {
            "conditions": CONDITIONS[state],
            "observedGeneration": 1,  # as KServe 0.20 leaves it
            "url": "http://sentiment.sentiment.example.com",
            "components": {"predictor": {"traffic": self._traffic(document)}, "transformer": {"traffic": _ALL}},
        }
        return document | {"status": status}

    def _pods(self, component: str) -> list[dict[str, Any]]:
        revision = self._rolled_out if component == "predictor" else 1
        first = sum(component in name for name in self.deleted)
        pods = [_pod(component, revision, first + number) for number in range(self.pods[component])]
        for pod in pods[: self.leaving]:
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        for pod in pods[self.leaving : self.leaving + self.starting]:
            pod["status"]["conditions"][0]["status"] = "False"
        return pods + [_pod(component, 0, number) for number in range(self.left_over)]

    def _revisions(self, component: str) -> list[dict[str, Any]]:
        newest = len(self._templates) if component == "predictor" else 1
        return [{"metadata": {"name": _revision(number, component)}} for number in range(1, newest + 1)]

    def _traffic(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        newest = len(self._templates)
        asked = document["spec"]["predictor"].get("canaryTrafficPercent")
        if asked is None or newest == self._rolled_out:
            return [{"latestRevision": True, "percent": 100, "revisionName": _revision(newest)}]
        share = asked if self.canary_share is None else self.canary_share
        former = {
            "latestRevision": False, "percent": 100 - share, "revisionName": _revision(self._rolled_out), "tag": "prev",
        }  # fmt: skip
        return [{"latestRevision": True, "percent": share, "revisionName": _revision(newest)}, former]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                status, said = outer.answer(self.command, parts.path, parse_qs(parts.query), body)
                content = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                if parts.path in outer.warned:
                    self.send_header("warning", f'299 - "{outer.warned[parts.path]}"')
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Keep quiet."""

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _change(document: dict[str, Any], operation: dict[str, Any]) -> None:
    """Do one operation of a JSON patch."""
    *way, last = [part.replace("~1", "/") for part in operation["path"].split("/")[1:]]
    place: Any = document
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if operation["op"] == "remove":
        del place[last]
    elif last == "-":
        place.append(operation["value"])
    else:
        place[last] = operation["value"]


def _revision(number: int, component: str = "predictor") -> str:
    return f"sentiment-{component}-{number:05}"


def _pod(component: str, revision: int, number: int) -> dict[str, Any]:
    name = _revision(revision, component)
    return {
        "metadata": {
            "name": f"{name}-deployment-{number}",
            "namespace": "sentiment",
            "labels": {"component": component, "serving.knative.dev/revision": name},
        },
        "spec": {"containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}
