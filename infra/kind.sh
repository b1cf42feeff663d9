#!/usr/bin/env bash
# From nothing to a prediction on this machine: a kind cluster, KServe's published install, the images, the service.
#   infra/kind.sh up | down
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=platform/versions.env
source infra/platform/versions.env

CLUSTER=sentiment
CONTEXT=kind-$CLUSTER
NAMESPACE=sentiment
INSTALL=https://github.com/kserve/kserve/releases/download/$KSERVE_VERSION/kserve-standard-mode-full-install-with-manifests.sh

say() { printf '%s\n' "$*"; }
die() { say "kind: $*" >&2; exit 1; }
k() { kubectl --context "$CONTEXT" "$@"; }
setting() { sed -n "s/^$1=//p" manifests/settings/settings.env; }

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || die "$tool is not installed"
  done
}

cluster() {
  if kind get clusters 2>/dev/null | grep -qx "$CLUSTER"; then
    say "cluster $CLUSTER already exists"
  else
    kind create cluster --name "$CLUSTER" --wait 5m
  fi
}

kserve() {
  if k get crd inferenceservices.serving.kserve.io >/dev/null 2>&1; then
    say "KServe is already installed"
    return 0
  fi
  # The script installs into the current context.
  kubectl config use-context "$CONTEXT"
  local script
  script=$(mktemp)
  curl -fsSL --retry 3 --output "$script" "$INSTALL" || die "KServe's install for $KSERVE_VERSION could not be fetched"
  DEPLOYMENT_MODE=Standard bash "$script" || die "KServe's install script failed: its last lines say why"
  rm -f "$script"
}

images() {
  local registry tag
  registry=$(setting registry) tag=$(setting tag)
  make images
  kind load docker-image --name "$CLUSTER" "$registry/sentiment-transformer:$tag" "$registry/sentiment-predictor:$tag"
}

service() {
  k apply -k manifests/overlays/kind
  if ! k --namespace $NAMESPACE get secret sentiment-cache >/dev/null 2>&1; then
    k --namespace $NAMESPACE create secret generic sentiment-cache \
      --from-literal=redis-password="$(openssl rand -hex 32)" --from-literal=hash-secret="$(openssl rand -hex 32)"
  fi
  k --namespace $NAMESPACE wait inferenceservice/sentiment --for=condition=Ready --timeout=10m ||
    die "the service did not become ready: kubectl --context $CONTEXT -n $NAMESPACE get pods,events"
}

prediction() {
  # From inside the pod, so that no port of this machine is needed.
  k --namespace $NAMESPACE exec deployment/sentiment-transformer -- python -c "
import urllib.request as r
print(r.urlopen('http://127.0.0.1:8080/predict', b'{\"text\": [\"I hate you.\", \"I love you.\"]}', timeout=60).read().decode())"
  say "Try it yourself: kubectl --context $CONTEXT -n $NAMESPACE port-forward service/sentiment-transformer 8080:80"
}

case ${1:-} in
  up)
    need kind kubectl curl openssl docker
    cluster
    kserve
    images
    service
    prediction
    ;;
  down)
    need kind
    kind delete cluster --name "$CLUSTER"
    ;;
  *) die "usage: infra/kind.sh up | down" ;;
esac
