#!/usr/bin/env bash
# Install the platform that the InferenceService runs on, step by step; whatever is already in place is left alone.
# shellcheck disable=SC2153 # the settings come from a file
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

STEPS=(check namespaces cert_manager istio certificate knative kserve prometheus nodes verify)

usage() {
  cat <<TXT
install.sh [--settings FILE] [--from STEP | --only STEP] [--dry-run]

  --settings FILE  KEY=VALUE lines, as 'make up' writes them (default: \$PLATFORM_SETTINGS)
  --from STEP      start there; every step can be repeated, so this only saves time
  --only STEP      run only that step
  --dry-run        print what would be done; needs no cluster and no helm

Steps: ${STEPS[*]}
TXT
}

# release NAME NAMESPACE VERSION CHART [HELM OPTION...]: install or upgrade unless this version with these values is deployed.
# Values come from values/NAME.yaml where that exists.
release() {
  local name=$1 namespace=$2 version=$3 chart=$4 values=
  shift 4
  title "$name $version"
  if [[ -e values/$name.yaml ]]; then
    values=$(render "values/$name.yaml") || exit 1
  fi
  # Helm keeps the description with the release: it is how a later run knows what this one did.
  local mark
  mark="$name $version values $(sha256sum <<<"$values" | cut -c1-12)"
  if is_deployed "$name" "$namespace" "$mark"; then
    say "  already installed"
    return 0
  fi
  clear_interrupted "$name" "$namespace"
  run helm upgrade --install "$name" "$chart" --namespace "$namespace" "$@" \
    --values - --description "$mark" --wait --timeout 10m <<<"$values" ||
    die "helm could not install $name; see: helm status $name --namespace $namespace"
}

release_history() {
  [[ $DRY_RUN == true ]] || helm history "$1" --namespace "$2" --max 1 --output json 2>/dev/null || true
}

is_deployed() {
  local history
  history=$(release_history "$1" "$2")
  [[ $history == *'"status":"deployed"'* && $history == *"\"description\":\"$3\""* ]]
}

# An interrupted helm leaves a lock that refuses every later upgrade.
clear_interrupted() {
  local history
  history=$(release_history "$1" "$2")
  case $history in
    *'"status":"pending-install"'*) run helm uninstall "$1" --namespace "$2" --wait ;;
    *'"status":"pending-'*) run helm rollback "$1" --namespace "$2" --wait ;;
  esac
}

step_check() {
  title "tools and cluster"
  if [[ $DRY_RUN == true ]]; then
    say "  helm $HELM_MINIMUM_VERSION or later, kubectl, a cluster with Kubernetes $KUBERNETES_MINIMUM_VERSION or later"
    return 0
  fi
  need_tools helm kubectl
  local helm_version cluster
  helm_version=$(helm version --template '{{.Version}}') || die "helm does not run"
  at_least "$helm_version" "$HELM_MINIMUM_VERSION" || die "helm is $helm_version; at least $HELM_MINIMUM_VERSION is needed"
  cluster=$(kubectl get --raw /version) || die "kubectl reaches no cluster: run 'az aks get-credentials' first"
  [[ $cluster =~ \"gitVersion\":\ *\"v([0-9]+\.[0-9]+) ]] || die "the cluster does not say its version"
  at_least "${BASH_REMATCH[1]}" "$KUBERNETES_MINIMUM_VERSION" ||
    die "the cluster runs Kubernetes ${BASH_REMATCH[1]}; at least $KUBERNETES_MINIMUM_VERSION is needed"
  say "  helm $helm_version, Kubernetes ${BASH_REMATCH[1]}"
}

step_namespaces() {
  title "namespaces"
  apply resources/namespaces.yaml
}

step_cert_manager() {
  release cert-manager cert-manager "$CERT_MANAGER_VERSION" cert-manager \
    --repo https://charts.jetstack.io --version "$CERT_MANAGER_VERSION"
  rollout cert-manager cert-manager cert-manager-cainjector cert-manager-webhook
}

step_istio() {
  local repository=https://istio-release.storage.googleapis.com/charts
  release istio-base istio-system "$ISTIO_VERSION" base --repo $repository --version "$ISTIO_VERSION"
  release istio-cni istio-system "$ISTIO_VERSION" cni --repo $repository --version "$ISTIO_VERSION"
  release istiod istio-system "$ISTIO_VERSION" istiod --repo $repository --version "$ISTIO_VERSION"
  release istio-ingressgateway istio-system "$ISTIO_VERSION" gateway --repo $repository --version "$ISTIO_VERSION"
  rollout istio-system istiod istio-ingressgateway
  apply resources/ingress-class.yaml
}

step_certificate() {
  title "wildcard certificate *.$NAMESPACE.$DOMAIN from $CERTIFICATE_ISSUER"
  if [[ $CERTIFICATE_ISSUER == private-ca ]]; then
    apply resources/issuer-private-ca.yaml
  else
    apply resources/issuer-letsencrypt.yaml
  fi
  apply resources/certificate.yaml
  run kubectl wait certificate/gateway --namespace=istio-system --for=condition=Ready --timeout=900s ||
    die "no certificate: is $DOMAIN delegated to its Azure name servers? See: kubectl describe challenges --all-namespaces"
}

step_knative() {
  local chart=https://github.com/knative/operator/releases/download
  release knative-operator knative-operator "$KNATIVE_OPERATOR_VERSION" \
    "$chart/knative-$KNATIVE_OPERATOR_VERSION/knative-operator-$KNATIVE_OPERATOR_VERSION.tgz"
  rollout knative-operator knative-operator operator-webhook
  title "Knative Serving $KNATIVE_SERVING_VERSION"
  apply resources/knative-serving.yaml
  # Ready alone may still refer to the previous version.
  local one=("knativeserving/knative-serving" "--namespace=knative-serving" "--timeout=900s")
  run kubectl wait "${one[@]}" "--for=jsonpath={.status.version}=$KNATIVE_SERVING_VERSION" ||
    die "the operator did not install Knative Serving; see: kubectl describe knativeserving --all-namespaces"
  run kubectl wait "${one[@]}" --for=condition=Ready ||
    die "Knative Serving is not ready; see: kubectl describe knativeserving --all-namespaces"
  rollout knative-serving controller webhook autoscaler activator "$INGRESS-controller" "$INGRESS-webhook"
}

step_kserve() {
  release kserve-crd kserve "$KSERVE_VERSION" oci://ghcr.io/kserve/charts/kserve-crd --version "$KSERVE_VERSION"
  release kserve-resources kserve "$KSERVE_VERSION" oci://ghcr.io/kserve/charts/kserve-resources --version "$KSERVE_VERSION"
  # The chart has no value for these two.
  run kubectl patch configmap inferenceservice-config --namespace=kserve --type=merge \
    --patch-file=resources/inferenceservice-config.json
  run kubectl scale deployment/kserve-controller-manager --namespace=kserve "--replicas=$REPLICAS"
  apply resources/kserve-availability.yaml
  rollout kserve kserve-controller-manager
}

step_prometheus() {
  if [[ $PROMETHEUS == stack ]]; then
    release kube-prometheus-stack monitoring "$KUBE_PROMETHEUS_STACK_VERSION" kube-prometheus-stack \
      --repo https://prometheus-community.github.io/helm-charts --version "$KUBE_PROMETHEUS_STACK_VERSION"
  else
    title "managed Prometheus"
  fi
  wait_until "the monitor kinds of $MONITOR_GROUP" 600 kubectl get crd "servicemonitors.$MONITOR_GROUP" "podmonitors.$MONITOR_GROUP"
  apply resources/monitors.yaml
}

step_nodes() {
  title "inference nodes"
  if [[ $NODE_PROVISIONING == auto ]]; then
    apply resources/node-pool.yaml
  else
    say "  the cluster has its fixed inference pool"
  fi
}

step_verify() {
  title "doctor"
  run ./doctor.sh --settings "$SETTINGS"
}

main() {
  local from=check only='' step started=false
  SETTINGS=${PLATFORM_SETTINGS:-}
  while [[ $# -gt 0 ]]; do
    case $1 in
      --settings | --from | --only)
        [[ $# -ge 2 ]] || die "$1 needs a value"
        case $1 in
          --settings) SETTINGS=$2 ;;
          --from) from=$2 ;;
          --only) only=$2 ;;
        esac
        shift
        ;;
      --dry-run) DRY_RUN=true ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) die "unknown option $1 (see --help)" ;;
    esac
    shift
  done
  [[ " ${STEPS[*]} " == *" ${only:-$from} "* ]] || die "no step '${only:-$from}'; steps: ${STEPS[*]}"
  load_versions
  load_settings "$SETTINGS"
  SETTINGS=$(realpath "$SETTINGS")
  cd "$PLATFORM_DIR"
  for step in "${STEPS[@]}"; do
    [[ $step == "$from" ]] && started=true
    if [[ ${only:-$step} == "$step" && ($started == true || -n $only) ]]; then
      CURRENT=$step
      "step_$step"
    fi
  done
  CURRENT=
  say
  say "done: https://sentiment.$NAMESPACE.$DOMAIN will answer once the manifests are applied"
}

CURRENT=
trap '[[ -z $CURRENT ]] || printf "stopped in step %s; once it is fixed, run: install.sh --from %s\n" "$CURRENT" "$CURRENT" >&2' EXIT
main "$@"
