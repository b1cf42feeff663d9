"""Offers everything that the manifests can render to the cluster's admission, as dry runs on its side."""

import json
from collections.abc import Iterator

import yaml
from e2e.cluster import Cluster, Document, path_of
from e2e.elsewhere import moved
from e2e.stage import CheckError, Combination, Stage
from kubernetes.client.exceptions import ApiException

from manifests.render import choices, render

# Istio warns of every rule that denies by path, as it would close raw TCP on a gateway that serves it; ours serve none.
# To name ports instead would open the paths on a gateway that listens on others.
# And of every EnvoyFilter; nothing else limits bodies and counts clients.
EXPECTED = (
    "due to the use of only HTTP attributes in a DENY rule",
    "EnvoyFilter exposes internal implementation details",
)


def combinations() -> Iterator[Combination]:
    """Give every overlay alone, then every component on the base."""
    yield from ((overlay, ()) for overlay in choices("overlays"))
    yield from (("base", (component,)) for component in choices("components"))


def everything_admitted(stage: Stage) -> str:
    """Admission takes every object of every combination and warns of none.

    Kinds of groups that the cluster does not serve, such as a cloud's own, are named and passed over.
    """
    cluster, offered = stage.cluster, stage.offered
    groups = cluster.groups()
    unknown: set[str] = set()
    wrong: list[str] = []
    seen: set[str] = set()
    for overlay, components in offered:
        name = "+".join([overlay, *components])
        for document in moved(yaml.safe_load_all(render(overlay, list(components), {})), cluster.namespace):
            text = json.dumps(document, sort_keys=True)
            group = document["apiVersion"].rpartition("/")[0]
            if text in seen:
                continue
            seen.add(text)
            if group and group not in groups:
                unknown.add(group)
                continue
            if document["kind"] == "InferenceService":
                # One that exists may not change its deployment mode: it is offered as a new one.
                document["metadata"]["name"] += "-offered"
            wrong += [f"{name}: {path_of(document)}: {sentence}" for sentence in _objections(cluster, document)]
    if wrong:
        raise CheckError("; ".join(wrong))
    words = f"{len(seen)} objects of {len(offered)} combinations admitted without a warning"
    return f"{words}; not known here: {', '.join(sorted(unknown))}" if unknown else words


def _objections(cluster: Cluster, document: Document) -> list[str]:
    try:
        said = cluster.dry_run(document)
        return [text for text in said if not any(expected in text for expected in EXPECTED)]
    except ApiException as error:
        try:
            return [str(json.loads(error.body)["message"])]
        except (KeyError, TypeError, ValueError):
            return [str(error.body)]
