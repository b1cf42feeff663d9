"""What kubectl says on a cluster where install.sh has done its work, as recorded answers of the stub."""

import json
import re

from infra.stubs import Stubs

KSERVE_CONFIG = {
    "deploy": '{"defaultDeploymentMode": "Knative"}',
    "inferenceService": '{"serviceAnnotationDisallowedList": ["argocd.argoproj.io/tracking-id"]}',
    "ingress": '{"ingressDomain": "ml.example.com", "urlScheme": "https"}',
}


def answer_as_healthy(stubs: Stubs, *, serving_version: str) -> None:
    """Fill the stub's table; a test breaks one answer after that."""
    say = stubs.answer
    say("kubectl get --raw /version", json.dumps({"gitVersion": "v1.36.2"}))
    say("kubectl get deployment/* *availableReplicas*", "2")
    say("kubectl get *webhookconfiguration/* *caBundle*", "LS0tLS1CRUdJTg==")
    say("kubectl get service/istio-ingressgateway *ingress?0?.ip*", "198.51.100.10")
    say("kubectl get service/istio-ingressgateway *externalTrafficPolicy*", "Local")
    say("kubectl get gateways.networking.istio.io/knative-ingress-gateway *credentialName*", "gateway-certificate")
    say("kubectl get gateways.networking.istio.io/knative-ingress-gateway *httpsRedirect*", "true")
    say("kubectl get service/knative-local-gateway *targetPort*", "8081")
    say("kubectl get knativeserving/knative-serving *version*", serving_version)
    say("kubectl get configmap/config-features *podspec-*", "enabled")
    say("kubectl get configmap/config-domain *", json.dumps({"ml.example.com": ""}))
    say("kubectl get configmap/config-deployment *", "dev.local,crsentiment.azurecr.io")
    say("kubectl get configmap/config-observability *", "prometheus")
    say("kubectl get configmap/inferenceservice-config *", re.sub(r"\s", "", json.dumps(KSERVE_CONFIG)))
    say("kubectl get clusterstoragecontainers* *seccompProfile*", "RuntimeDefault")
    say("kubectl get certificate/gateway *Ready*", "True")
    say("kubectl get certificate/gateway *renewalTime*", "2999-01-01T00:00:00Z")
    say("kubectl get servicemonitors*", "knative-serving")
    say(
        "getent ahostsv4 sentiment.sentiment.ml.example.com",
        "198.51.100.10  STREAM sentiment.sentiment.ml.example.com\n",
    )
