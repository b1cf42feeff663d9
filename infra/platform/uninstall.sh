#!/usr/bin/env bash
# Take the platform off a cluster, in the reverse order of install.sh.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<TXT
uninstall.sh [--dry-run]

Refuses while any InferenceService or Knative Service exists: their finalizers would wait for controllers that are gone.
CustomResourceDefinitions of Istio, Knative and cert-manager stay, and so do the objects of these kinds.
TXT
}

remove_release() {
  title "$1"
  run helm uninstall "$1" --namespace "$2" --ignore-not-found --wait --timeout 10m || die "helm could not remove $1"
}

# A kind that the cluster does not know counts as removed, like an object that does not exist.
remove() {
  local answer
  say "+ kubectl delete $* --ignore-not-found --timeout=300s"
  [[ $DRY_RUN == true ]] && return 0
  answer=$(kubectl delete "$@" --ignore-not-found --timeout=300s 2>&1) ||
    [[ $answer == *"doesn't have a resource type"* ]] || die "could not delete $*: $answer"
}

refuse_while_used() {
  local kind found
  [[ $DRY_RUN == true ]] && return 0
  for kind in inferenceservices.serving.kserve.io services.serving.knative.dev; do
    # A kind that is not installed has no objects.
    found=$(kubectl get "$kind" --all-namespaces --output=name 2>/dev/null || true)
    [[ -z $found ]] || die "still in use: $(tr '\n' ' ' <<<"$found")- delete these first"
  done
}

main() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      --dry-run) DRY_RUN=true ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) die "unknown option $1 (see --help)" ;;
    esac
    shift
  done
  [[ $DRY_RUN == true ]] || need_tools helm kubectl
  refuse_while_used
  remove nodepools.karpenter.sh/inference aksnodeclasses.karpenter.azure.com/inference
  remove_release kube-prometheus-stack monitoring
  remove_release kserve-resources kserve
  remove_release kserve-crd kserve
  remove knativeservings.operator.knative.dev/knative-serving --namespace=knative-serving
  remove_release knative-operator knative-operator
  remove certificates.cert-manager.io/gateway --namespace=istio-system
  remove clusterissuers.cert-manager.io/platform clusterissuers.cert-manager.io/platform-self-signed
  remove ingressclass/istio
  remove_release istio-ingressgateway istio-system
  remove_release istiod istio-system
  remove_release istio-cni istio-system
  remove_release istio-base istio-system
  remove_release cert-manager cert-manager
  remove namespace/monitoring namespace/kserve namespace/knative-serving namespace/knative-operator namespace/istio-system namespace/cert-manager
  say
  say "done: the platform is gone"
}

main "$@"
