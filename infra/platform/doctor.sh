#!/usr/bin/env bash
# Check an installed platform; every finding says how to fix it. Exit status: the number of findings.
# shellcheck disable=SC2153 # the settings come from a file
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

FINDINGS=0

ok() { printf 'ok    %s\n' "$1"; }
finding() {
  printf 'WRONG %s\n      fix: %s\n' "$1" "$2"
  FINDINGS=$((FINDINGS + 1))
}

# expect WHAT ACTUAL PATTERN FIX
expect() {
  # shellcheck disable=SC2053 # unquoted, because it is a pattern
  if [[ $2 == $3 ]]; then
    ok "$1"
  else
    finding "$1 (found: ${2:-nothing})" "$4"
  fi
}

# field NAMESPACE OBJECT JSONPATH: empty where the object or the field is missing.
field() { kubectl get "$2" --namespace="$1" --output="jsonpath=$3" 2>/dev/null || true; }

check_deployments() {
  local step namespace deployment
  while read -r step namespace deployment; do
    expect "$namespace/$deployment runs" "$(field "$namespace" "deployment/$deployment" '{.status.availableReplicas}')" '[1-9]*' \
      "kubectl describe deployment $deployment --namespace=$namespace, then install.sh --from $step"
  done <<TXT
cert_manager cert-manager cert-manager
cert_manager cert-manager cert-manager-cainjector
cert_manager cert-manager cert-manager-webhook
istio istio-system istiod
istio istio-system istio-ingressgateway
knative knative-operator knative-operator
knative knative-serving controller
knative knative-serving webhook
knative knative-serving autoscaler
knative knative-serving activator
knative knative-serving $INGRESS-controller
knative knative-serving $INGRESS-webhook
kserve kserve kserve-controller-manager
TXT
}

# A webhook without a CA refuses every object of its kinds.
check_webhooks() {
  local step kind name
  while read -r step kind name; do
    expect "webhook $name has its certificate" \
      "$(field default "$kind/$name" '{.webhooks[0].clientConfig.caBundle}')" '?*' "install.sh --from $step; the webhook's pods write the CA"
  done <<TXT
cert_manager validatingwebhookconfiguration cert-manager-webhook
knative validatingwebhookconfiguration config.webhook.serving.knative.dev
knative validatingwebhookconfiguration validation.webhook.serving.knative.dev
knative mutatingwebhookconfiguration webhook.serving.knative.dev
kserve validatingwebhookconfiguration inferenceservice.serving.kserve.io
kserve mutatingwebhookconfiguration inferenceservice.serving.kserve.io
TXT
}

check_gateways() {
  expect "gateway address is $GATEWAY_IP" \
    "$(field istio-system service/istio-ingressgateway '{.status.loadBalancer.ingress[0].ip}')" "$GATEWAY_IP" \
    "the cluster's identity needs Network Contributor on the address: terraform apply; then kubectl describe service istio-ingressgateway --namespace=istio-system"
  expect "clients' addresses are kept" \
    "$(field istio-system service/istio-ingressgateway '{.spec.externalTrafficPolicy}')" Local "install.sh --only istio"
  expect "gateway serves TLS with the wildcard certificate" \
    "$(field knative-serving gateways.networking.istio.io/knative-ingress-gateway '{.spec.servers[?(@.port.number==443)].tls.credentialName}')" \
    gateway-certificate "install.sh --only knative"
  expect "plain HTTP redirects" \
    "$(field knative-serving gateways.networking.istio.io/knative-ingress-gateway '{.spec.servers[?(@.port.number==80)].tls.httpsRedirect}')" \
    true "install.sh --only knative"
  expect "local gateway listens for transformer to predictor" \
    "$(field istio-system service/knative-local-gateway '{.spec.ports[?(@.port==80)].targetPort}')" 8081 "install.sh --only knative"
}

check_knative() {
  local flag
  expect "Knative Serving is $KNATIVE_SERVING_VERSION" \
    "$(field knative-serving knativeserving/knative-serving '{.status.version}')" "$KNATIVE_SERVING_VERSION" "install.sh --only knative"
  # The flags to look for are the ones that install.sh sets.
  while read -r flag; do
    expect "feature $flag" "$(field knative-serving configmap/config-features "{.data.${flag//./\\.}}")" enabled \
      "install.sh --only knative; without it Knative refuses the manifests"
  done < <(grep --only-matching 'kubernetes\.podspec-[a-z-]*' "$PLATFORM_DIR/resources/knative-serving.yaml")
  expect "domain $DOMAIN" "$(field knative-serving configmap/config-domain '{.data}')" "*\"$DOMAIN\"*" \
    "install.sh --only knative; without it services are not reachable from outside"
  expect "tags of $REGISTRY are left to the kubelet" \
    "$(field knative-serving configmap/config-deployment '{.data.registries-skipping-tag-resolving}')" "*$REGISTRY*" \
    "install.sh --only knative; Knative's controller has no right to pull"
  expect "request metrics are on" \
    "$(field knative-serving configmap/config-observability '{.data.request-metrics-protocol}')" prometheus "install.sh --only knative"
}

check_kserve() {
  local config
  config=$(field kserve configmap/inferenceservice-config '{.data}')
  expect "KServe defaults to Knative" "$config" '*defaultDeploymentMode*Knative*' "install.sh --only kserve"
  expect "KServe gives https addresses under $DOMAIN" "$config" "*ingressDomain*$DOMAIN*urlScheme*https*" "install.sh --only kserve"
  expect "annotations set by tools create no revisions" "$config" '*serviceAnnotationDisallowedList*argocd*' "install.sh --only kserve"
  expect "storage initializer passes the restricted standard" \
    "$(field default clusterstoragecontainers.serving.kserve.io/default '{.spec.container.securityContext.seccompProfile.type}')" \
    RuntimeDefault "install.sh --only kserve"
}

check_certificate() {
  expect "certificate is ready" \
    "$(field istio-system certificate/gateway '{.status.conditions[?(@.type=="Ready")].status}')" True \
    "kubectl describe certificate gateway --namespace=istio-system; with Let's Encrypt also: kubectl describe challenges --all-namespaces"
  local renewal now
  renewal=$(field istio-system certificate/gateway '{.status.renewalTime}')
  now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  # Both timestamps have the same format, which sorts by time.
  if [[ $renewal > $now ]]; then
    ok "certificate renews by itself on ${renewal%T*}"
  else
    finding "certificate should have renewed by now (due: ${renewal:-unknown})" "kubectl describe certificate gateway --namespace=istio-system: it shows what cert-manager is waiting for"
  fi
}

check_dns() {
  local host address
  host="sentiment.$NAMESPACE.$DOMAIN"
  if [[ $CERTIFICATE_ISSUER == private-ca ]]; then
    ok "DNS is not checked with a private certificate authority: use curl --resolve $host:443:$GATEWAY_IP"
    return 0
  fi
  address=$(getent ahostsv4 "$host" | awk 'NR == 1 { print $1 }') || true
  expect "$host is $GATEWAY_IP" "$address" "$GATEWAY_IP" "delegate $DOMAIN at its registrar to: ${NAME_SERVERS:-the name servers of its Azure zone}"
}

check_monitors() {
  expect "monitors are known as $MONITOR_GROUP" \
    "$(field monitoring "servicemonitors.$MONITOR_GROUP/knative-serving" '{.metadata.name}')" knative-serving "install.sh --only prometheus"
}

main() {
  local settings=${PLATFORM_SETTINGS:-}
  while [[ $# -gt 0 ]]; do
    case $1 in
      --settings)
        [[ $# -ge 2 ]] || die "$1 needs a value"
        settings=$2
        shift
        ;;
      --help | -h)
        say "doctor.sh [--settings FILE]: checks an installed platform and says what to fix"
        exit 0
        ;;
      *) die "unknown option $1 (see --help)" ;;
    esac
    shift
  done
  need_tools kubectl getent
  load_versions
  load_settings "$settings"
  kubectl get --raw /version >/dev/null || die "kubectl reaches no cluster"
  check_deployments
  check_webhooks
  check_gateways
  check_knative
  check_kserve
  check_certificate
  check_dns
  check_monitors
  say
  if ((FINDINGS > 0)); then
    say "$FINDINGS of the above to fix; start with the first, as later ones often follow from it"
    exit $((FINDINGS > 100 ? 100 : FINDINGS))
  fi
  say "all well"
}

main "$@"
