"""Installs the service on a cluster, checks it through the gateway, and removes it again: `make e2e ARGS="..."`.

    PYTHONPATH=.:tests python -m e2e.run --overlay dev --set registry=example.azurecr.io --set tag=1.2.0

Needs a cluster with KServe (infra/platform installs it, with Knative and Istio), images that it can pull, and kubectl
for rendering. What does not apply to the overlay's deployment mode is left out by name. Takes about half an hour, most
of it waiting for scale-down.
"""

import argparse
import copy
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml
from e2e.checks import (
    admission,
    answers,
    confinement,
    connections,
    faults,
    gateway_rules,
    observed,
    payload_log,
    revisions,
    rotation,
    scaling,
    standard,
)
from e2e.cluster import Cluster, ClusterError, Document
from e2e.elsewhere import HOME, moved
from e2e.modes import applicable
from e2e.stage import Check, CheckError, Limits, Load, Stage
from e2e.ways_in import way_in
from kubernetes.client.exceptions import ApiException

from manifests.render import parse_settings, render

# In this order: what later ones rest on comes first, what takes pods away last.
CHECKS: Mapping[str, Check] = {
    "admission": admission.everything_admitted,
    "answer and cache": answers.answers_and_caches,
    "paths": gateway_rules.paths,
    "unreachable": confinement.predictor_unreachable,
    "restricted": confinement.pods_are_restricted,
    "broken HTTP": connections.nothing_hidden_is_answered,
    "idle connections": connections.idle_connections_survive,
    "sizes and rates": gateway_rules.sizes_and_rates,
    "api key": gateway_rules.api_key,
    "jwt": gateway_rules.jwt,
    "metrics": observed.metrics_scraped,
    "canary": revisions.canary_and_promotion,
    "rollback": revisions.rollback,
    "rollout": standard.rollout,
    "payload log": payload_log.payload_log,
    "scale-out": scaling.scale_out,
    "scale-down": scaling.scale_down,
    "predictor killed": faults.predictor_killed,
    "redis killed": faults.redis_killed,
    "secret rotation": rotation.secret,
    "no DNS": faults.dns_dead,
    "overflow": faults.overflow,
    "drain": faults.drain,
    "traces": observed.traces_cross_pods,
    "scale to zero": scaling.scale_to_zero_and_back,
    # Last, since autoscalers keep the second pods that it asks for.
    "pods leave": standard.pods_leave,
}
_FIRST_ANSWER_S = 60
# On one small node pods have to make room for each other: they ask for less, and go as soon as Knative lets them. The
# load that brings a second predictor must not be more than the same machine can make, however fast it is.
QUICK = {"autoscaling.knative.dev/window": "15s", "autoscaling.knative.dev/scale-down-delay": "60s"}
LITTLE_CPU = "40m"
LOW_TARGET = 2


def run(
    cluster: Cluster,
    documents: Sequence[Document],
    *,
    gateway_url: str | None,
    checks: Mapping[str, Check] = CHECKS,
    keep: bool = False,
    tries: int = 1,
    limits: Limits | None = None,
    load: Load = scaling.k6_spike,
    offered: Sequence[admission.Combination] = (),
    say: Callable[[str], object] = print,
) -> bool:
    """Do everything; say a line for each check and whether all held. What was applied goes again unless ``keep``."""
    limits = limits or Limits()
    namespaces = [document for document in documents if document["kind"] == "Namespace"]
    began_s = time.monotonic()
    try:
        cluster.wait(
            # Of a run just before, perhaps.
            lambda: not cluster.is_leaving(cluster.namespace),
            timeout_s=limits.ready_s,
            what=lambda: f"the namespace {cluster.namespace} is still being removed",
        )
        cluster.apply(namespaces)
        cluster.ensure_cache_secret()
        cluster.apply(documents)
        cluster.wait_ready(timeout_s=limits.ready_s)
        stage = Stage(
            cluster=cluster,
            gateway=way_in(cluster, documents, url=gateway_url),
            limits=limits,
            load=load,
            offered=offered,
            at_rest={component: max(1, cluster.ready_pods(component)) for component in ("transformer", "predictor")},
        )
        ready_s = time.monotonic() - began_s
        # A transformer that asked for the predictor's name before Knative had made it waits for DNS to forget its "no".
        cluster.wait(
            lambda: stage.gateway.post([f"the first text {time.time_ns()}"]).status == 200,
            timeout_s=_FIRST_ANSWER_S,
            what=lambda: "Ready, and no answer",
        )
        say(f"ready after {ready_s:.0f} s, an answer after {time.monotonic() - began_s:.0f} s")
        checks = applicable(checks, documents, say=say)
        results = [
            any(_checked(name, lambda check=check: check(stage), say) for _ in range(tries))
            for name, check in checks.items()
        ]
    except (ClusterError, ApiException) as error:
        say(f"FAIL  install     {error}")
        return False
    finally:
        if not keep:
            cluster.delete(documents)
            say("removed what was applied")
    return all(results)


def for_one_node(documents: Sequence[Document]) -> list[Document]:
    """Give the objects with less CPU asked for, more pods for less load and shorter times before they go."""
    found = copy.deepcopy([dict(document) for document in documents])
    for document in found:
        if document["kind"] == "InferenceService":
            document["spec"]["predictor"]["scaleTarget"] = LOW_TARGET
            for component in ("transformer", "predictor"):
                spec = document["spec"][component]
                spec["annotations"] |= QUICK
                spec["containers"][0]["resources"]["requests"]["cpu"] = LITTLE_CPU
    return found


def _checked(name: str, check: Callable[[], str], say: Callable[[str], object]) -> bool:
    began_s = time.monotonic()
    try:
        said, word = check(), "ok  "
    except (CheckError, ClusterError) as error:
        said, word = str(error), "FAIL"
    except ApiException as error:
        said, word = f"the API server answered {error.status}: {str(error.body)[:300]}", "FAIL"
    except Exception as error:  # noqa: BLE001  # one that cannot go on must not keep the others from it, nor what is left
        said, word = f"the check itself failed: {error!r}", "FAIL"
    say(f"{word}  {name:<18}{time.monotonic() - began_s:6.0f} s  {said}")
    return word == "ok  "


def main() -> int:
    """Parse the command line and run; 1 where a check failed."""
    # Whoever ends a run that takes too long wants what it applied to go, too.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
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
    parser.add_argument(
        "--only", action="append", default=[], choices=CHECKS, metavar="CHECK", help=f"of {', '.join(CHECKS)}"
    )
    parser.add_argument("--skip", action="append", default=[], choices=CHECKS, metavar="CHECK")
    parser.add_argument("--one-node", action="store_true", help="less CPU asked for, and seconds before pods go")
    parser.add_argument("--tries", type=int, default=1, help="of a check that fails; each is told")
    parser.add_argument("--keep", action="store_true", help="leave everything in place")
    arguments = parser.parse_args()
    text = render(arguments.overlay, arguments.component, parse_settings("\n".join(arguments.set)))
    documents = moved([document for document in yaml.safe_load_all(text) if document], arguments.namespace)
    cluster = Cluster(kubeconfig=arguments.kubeconfig, context=arguments.context, namespace=arguments.namespace)
    held = run(
        cluster,
        for_one_node(documents) if arguments.one_node else documents,
        gateway_url=arguments.gateway,
        checks={
            name: check
            for name, check in CHECKS.items()
            if name not in arguments.skip and (name in arguments.only or not arguments.only)
        },
        keep=arguments.keep,
        tries=arguments.tries,
        offered=list(admission.combinations()),
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
