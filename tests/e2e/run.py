"""Installs the service on a cluster, checks it through the gateway, and removes it again: `make e2e ARGS="..."`.

    PYTHONPATH=.:tests python -m e2e.run --overlay dev --set registry=example.azurecr.io --set tag=1.2.0

Needs a cluster with KServe (infra/platform installs it, with Knative and Istio), images that it can pull, and kubectl
for rendering. What does not apply to the overlay's deployment mode is left out by name. Takes about half an hour, most
of it waiting for scale-down.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from e2e.admission import Combination, combinations, everything_admitted
from e2e.checks import (
    CheckError,
    Limits,
    Load,
    answers_and_caches,
    canary_and_promotion,
    k6_spike,
    scale_down,
    scale_out,
)
from e2e.cluster import Cluster, ClusterError, Document
from e2e.elsewhere import HOME, moved
from e2e.modes import applicable
from e2e.payload_log import payload_log
from e2e.standard_checks import pods_leave, rollout
from e2e.ways_in import way_in

from manifests.render import parse_settings, render


def run(
    cluster: Cluster,
    documents: Sequence[Document],
    *,
    gateway_url: str | None,
    keep: bool = False,
    limits: Limits | None = None,
    load: Load = k6_spike,
    offered: Sequence[Combination] = (),
    say: Callable[[str], object] = print,
) -> bool:
    """Do everything; say a line for each check and whether all held. What was applied goes again unless ``keep``."""
    limits = limits or Limits()
    namespaces = [document for document in documents if document["kind"] == "Namespace"]
    try:
        cluster.apply(namespaces)
        cluster.ensure_cache_secret()
        cluster.apply(documents)
        cluster.wait_ready(timeout_s=limits.ready_s)
        gateway = way_in(cluster, documents, url=gateway_url)
        pods = {component: max(1, cluster.ready_pods(component)) for component in ("transformer", "predictor")}
        checks: dict[str, Callable[[], str]] = {
            "admission": lambda: everything_admitted(cluster, offered),
            "answer and cache": lambda: answers_and_caches(gateway),
            "canary": lambda: canary_and_promotion(cluster, gateway, limits),
            "rollout": lambda: rollout(cluster, gateway, limits),
            "payload log": lambda: payload_log(cluster, gateway, documents),
            "scale-out": lambda: scale_out(cluster, gateway, limits, load),
            "scale-down": lambda: scale_down(cluster, gateway, limits, to=pods),
            # Last, since autoscalers keep the second pods that it asks for.
            "pods leave": lambda: pods_leave(cluster, gateway, limits),
        }
        checks = applicable(checks, documents, say=say)
        results = [_checked(name, check, say) for name, check in checks.items()]
    except ClusterError as error:
        say(f"FAIL  install     {error}")
        return False
    finally:
        if not keep:
            cluster.delete(documents)
            say("removed what was applied")
    return all(results)


def _checked(name: str, check: Callable[[], str], say: Callable[[str], object]) -> bool:
    began_s = time.monotonic()
    try:
        said, word = check(), "ok  "
    except (CheckError, ClusterError) as error:
        said, word = str(error), "FAIL"
    say(f"{word}  {name:<18}{time.monotonic() - began_s:6.0f} s  {said}")
    return word == "ok  "


def main() -> int:
    """Parse the command line and run; 1 where a check failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overlay", default="dev")
    parser.add_argument("--component", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="see manifests/settings")
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--context")
    parser.add_argument("--gateway", metavar="URL", help="the gateway's address, if its Service has none")
    parser.add_argument(
        "--namespace", default=HOME, help="elsewhere than the manifests say, beside another installation"
    )
    parser.add_argument("--keep", action="store_true", help="leave everything in place")
    arguments = parser.parse_args()
    text = render(arguments.overlay, arguments.component, parse_settings("\n".join(arguments.set)))
    documents = moved([document for document in yaml.safe_load_all(text) if document], arguments.namespace)
    cluster = Cluster(kubeconfig=arguments.kubeconfig, context=arguments.context, namespace=arguments.namespace)
    held = run(
        cluster, documents, gateway_url=arguments.gateway, keep=arguments.keep, offered=list(combinations())
    )  # fmt: skip
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
