# shellcheck shell=bash
# What the scripts share: messages, running or only printing a command, settings, versions, templates, waiting.

PLATFORM_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRY_RUN=${DRY_RUN:-false}
WAIT_INTERVAL_S=${WAIT_INTERVAL_S:-5}

SETTINGS_KEYS=(
  NAMESPACE DOMAIN REGISTRY RESOURCE_GROUP SUBSCRIPTION_ID GATEWAY_IP GATEWAY_IP_NAME
  CERTIFICATE_ISSUER CONTACT_EMAIL CERT_MANAGER_CLIENT_ID PROMETHEUS NODE_PROVISIONING AVAILABILITY
)

say() { printf '%s\n' "$*"; }
title() { printf '\n== %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Run a command that changes something; a dry run only prints it.
run() {
  printf '+ %s\n' "$*"
  if [[ $DRY_RUN == true ]]; then
    return 0
  fi
  "$@"
}

need_tools() {
  local tool missing=()
  for tool in "$@"; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  [[ ${#missing[@]} -eq 0 ]] || die "not on PATH: ${missing[*]}"
}

# at_least HAVE WANT: dotted version numbers, with or without a leading v.
at_least() {
  [[ $(printf '%s\n%s\n' "${2#v}" "${1#v}" | sort --version-sort | head -n 1) == "${2#v}" ]]
}

# Read KEY=VALUE lines; nothing in the file is ever executed.
load_file() {
  local line key value
  while IFS= read -r line || [[ -n $line ]]; do
    [[ $line =~ ^([A-Z][A-Z0-9_]*)=(.*)$ ]] || continue
    key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    [[ $value =~ ^[A-Za-z0-9@%+=:,./_\ -]*$ ]] || die "$1: $key holds a character that is not allowed in a setting"
    printf -v "$key" '%s' "$value"
  done <"$1"
}

# PLATFORM_VERSIONS: a file whose lines win over versions.env.
load_versions() {
  load_file "$PLATFORM_DIR/versions.env"
  [[ -z ${PLATFORM_VERSIONS:-} ]] || load_file "$PLATFORM_VERSIONS"
}

load_settings() {
  local key
  [[ -r $1 ]] || die "no settings at $1: 'make up' writes them from Terraform's outputs, or give --settings FILE"
  load_file "$1"
  for key in "${SETTINGS_KEYS[@]}"; do
    [[ -n ${!key:-} ]] || die "$1 lacks $key"
  done
  derive_settings
}

derive_settings() {
  case $AVAILABILITY in
    single) REPLICAS=1 SPREAD=false ;;
    zonal) REPLICAS=2 SPREAD=true ;;
    *) die "AVAILABILITY is single or zonal, not $AVAILABILITY" ;;
  esac
  REPLICAS_BUT_ONE=$((REPLICAS - 1))
  case $CERTIFICATE_ISSUER in
    letsencrypt) ACME_SERVER=https://acme-v02.api.letsencrypt.org/directory ;;
    letsencrypt-staging) ACME_SERVER=https://acme-staging-v02.api.letsencrypt.org/directory ;;
    private-ca) ACME_SERVER= ;;
    *) die "CERTIFICATE_ISSUER is letsencrypt, letsencrypt-staging or private-ca, not $CERTIFICATE_ISSUER" ;;
  esac
  case $PROMETHEUS in
    managed) MONITOR_GROUP=azmonitoring.coreos.com ;;
    stack) MONITOR_GROUP=monitoring.coreos.com ;;
    *) die "PROMETHEUS is managed or stack, not $PROMETHEUS" ;;
  esac
  # MESH=sidecar serves the manifests' mtls component; the default keeps Istio to its gateway.
  case ${MESH:-gateway} in
    gateway) INJECTION=disabled ;;
    sidecar) INJECTION=enabled ;;
    *) die "MESH is gateway or sidecar, not $MESH" ;;
  esac
  # INGRESS names the controller that turns Knative's routes into the gateway's; net-gateway-api does so through the Gateway API.
  case ${INGRESS:-net-istio} in
    net-istio) INGRESS=net-istio INGRESS_CLASS=istio.ingress.networking.knative.dev ;;
    net-gateway-api) INGRESS_CLASS=gateway-api.ingress.networking.knative.dev ;;
    *) die "INGRESS is net-istio or net-gateway-api, not $INGRESS" ;;
  esac
  # The templates take these by name.
  export REPLICAS SPREAD REPLICAS_BUT_ONE ACME_SERVER MONITOR_GROUP INJECTION INGRESS INGRESS_CLASS
}

# Print a template with ${NAME} filled from the settings; a name without a value is an error, not an empty string.
render() {
  local text name
  text=$(<"$PLATFORM_DIR/$1")
  while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
    name=${BASH_REMATCH[1]}
    [[ -v $name ]] || die "$1 needs $name, which no setting provides"
    text=${text//"\${$name}"/"${!name}"}
  done
  printf '%s\n' "$text"
}

# wait_until WHAT SECONDS COMMAND...: try until it succeeds. Webhooks refuse for a while after their pods are ready.
wait_until() {
  local what=$1 seconds=$2 deadline
  shift 2
  if [[ $DRY_RUN == true ]]; then
    printf '+ (wait up to %ss for %s) %s\n' "$seconds" "$what" "$*"
    return 0
  fi
  say "  waiting up to ${seconds}s for $what"
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "$what: still not there after ${seconds}s; see: $*"
    sleep "$WAIT_INTERVAL_S"
  done
}

# apply FILE: apply a template to the cluster, retrying while webhooks are still coming up.
apply() {
  local rendered
  rendered=$(render "$1") || exit 1
  say "+ kubectl apply --server-side --field-manager=platform --force-conflicts --filename=$1"
  [[ $DRY_RUN == true ]] || wait_until "the cluster to accept $1" 180 apply_text "$rendered"
}

apply_text() {
  kubectl apply --server-side --field-manager=platform --force-conflicts --filename=- <<<"$1"
}

rollout() {
  local namespace=$1 deployment
  shift
  for deployment in "$@"; do
    run kubectl rollout status "deployment/$deployment" --namespace="$namespace" --timeout=600s ||
      die "$namespace/$deployment did not become ready; see: kubectl describe pods --namespace=$namespace"
  done
}
