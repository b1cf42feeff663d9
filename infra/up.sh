#!/usr/bin/env bash
# From an empty subscription to an answer over HTTPS: state, plan, price, consent, apply, images, platform, manifests, smoke.
# shellcheck disable=SC2153 # the settings come from a file
set -euo pipefail
INFRA=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=platform/lib.sh
source "$INFRA/platform/lib.sh"
# shellcheck source=azure.sh
source "$INFRA/azure.sh"

usage() {
  cat <<TXT
up.sh ENVIRONMENT [--yes] [--dry-run]

  --yes      do not ask before spending money (also: CONFIRM=yes)
  --dry-run  print what would be done; needs neither Azure nor a cluster

Environments: $(environments). Your own values: infra/environments/mine.tfvars (copy mine.tfvars.example).
Every step can be repeated: after a failure, run it again.
TXT
}

step_plan() {
  title "plan"
  run terraform plan -input=false "${TF_VARS[@]}" "-out=$WORK/plan.tfplan"
}

# Prices depend on variables alone, so they are known before anything exists.
show_price() {
  title "price"
  if [[ $DRY_RUN == true ]]; then
    say "  (from prices/azure.csv and environments/$ENVIRONMENT.tfvars)"
  else
    terraform console "${TF_VARS[@]}" <<<'local.cost_report' | grep -v '^<<\|^EOT$' || die "the price cannot be estimated"
  fi
}

consent() {
  local answer
  [[ $DRY_RUN == true || $CONFIRMED == yes ]] && return 0
  read -r -p "Create this and pay for it? Type the environment's name to go on: " answer || true
  [[ ${answer:-} == "$ENVIRONMENT" ]] || die "nothing was created"
}

step_apply() {
  title "apply"
  run terraform apply -input=false "$WORK/plan.tfplan"
  [[ $DRY_RUN == true ]] && return 0
  # Each output is one string on one line, except the estimate.
  terraform output -no-color | sed -n 's/^\([a-z_]*\) = "\(.*\)"$/\U\1\E=\2/p' >"$SETTINGS"
  load_settings "$SETTINGS"
  [[ $CERTIFICATE_ISSUER == private-ca ]] || say "delegate $DOMAIN at its registrar to: ${NAME_SERVERS:-}; the certificate waits for it"
}

# The same choice that `make images` makes.
image_tool() {
  if docker info >/dev/null 2>&1; then
    echo docker
  elif command -v buildah >/dev/null; then
    echo buildah
  else
    return 1
  fi
}

registry_login() {
  if [[ $1 == docker ]]; then
    run az acr login --name "$REGISTRY_NAME"
    return
  fi
  # Buildah has no login for Azure: it signs in with a token, under this fixed user name.
  say "+ buildah login $REGISTRY (with a token of az acr login)"
  local token
  token=$(az acr login --name "$REGISTRY_NAME" --expose-token --query accessToken --output tsv --only-show-errors)
  buildah login --username 00000000-0000-0000-0000-000000000000 --password-stdin "$REGISTRY" <<<"$token"
}

step_images() {
  title "images"
  local tool name
  if [[ $DRY_RUN == true ]]; then
    say "+ make images TAG=$TAG for the registry; log in; push sentiment-predictor and sentiment-transformer"
    return 0
  fi
  tool=$(image_tool) || die "a docker daemon or buildah is needed to build the images"
  run make --directory="$REPO" images "REGISTRY=$REGISTRY" "TAG=$TAG"
  registry_login "$tool"
  for name in sentiment-predictor sentiment-transformer; do
    run "$tool" push "$REGISTRY/$name:$TAG"
  done
}

step_platform() {
  local options=()
  if [[ $DRY_RUN == true ]]; then
    title "platform"
    if [[ ! -e $SETTINGS ]]; then
      say "  platform/install.sh, with the settings from Terraform's outputs"
      return 0
    fi
    options=(--dry-run)
  fi
  "$INFRA/platform/install.sh" --settings "$SETTINGS" "${options[@]}"
}

image_digest() { az acr repository show --name "$REGISTRY_NAME" --image "$1:$TAG" --query digest --output tsv; }

# Deployed by digest: a tag can be moved, and Knative leaves this registry's tags unresolved.
render_manifests() {
  local name digest
  local arguments=(--overlay "$ENVIRONMENT" --set "registry=$REGISTRY" --set "tag=$TAG")
  arguments+=(--set "transformer_client_id=$TRANSFORMER_CLIENT_ID" --set "predictor_client_id=$PREDICTOR_CLIENT_ID")
  arguments+=(--set "storage_uri=$STORAGE_URI")
  [[ -z ${REDIS_URL:-} ]] || arguments+=(--set "redis_url=$REDIS_URL")
  python3 "$REPO/manifests/render.py" "${arguments[@]}" >"$WORK/manifests.yaml" || die "the manifests do not render"
  for name in sentiment-predictor sentiment-transformer; do
    digest=$(image_digest "$name") || die "the registry has no $name:$TAG"
    sed -i.tagged "s|$REGISTRY/$name:$TAG|$REGISTRY/$name@$digest|" "$WORK/manifests.yaml"
  done
}

# Created once: the Redis password and the key of the cache's hashes are random, not chosen.
ensure_secret() {
  if kubectl get secret sentiment-cache "--namespace=$NAMESPACE" >/dev/null 2>&1; then
    return 0
  fi
  say "+ kubectl create secret sentiment-cache (generated)"
  kubectl apply --filename=- >/dev/null <<TXT
apiVersion: v1
kind: Secret
metadata: { name: sentiment-cache, namespace: "$NAMESPACE" }
stringData:
  redis-password: "$(openssl rand -hex 32)"
  hash-secret: "$(openssl rand -hex 32)"
TXT
}

step_manifests() {
  title "manifests"
  if [[ $DRY_RUN == true ]]; then
    say "+ render overlay $ENVIRONMENT with Terraform's outputs and the images' digests; kubectl apply; wait until Ready"
    return 0
  fi
  render_manifests
  run kubectl apply "--filename=$REPO/manifests/base/namespace.yaml"
  ensure_secret
  run kubectl apply "--filename=$WORK/manifests.yaml"
  run kubectl wait inferenceservice/sentiment "--namespace=$NAMESPACE" --for=condition=Ready --timeout=900s ||
    die "the InferenceService is not ready; see: kubectl describe inferenceservice sentiment --namespace=$NAMESPACE"
}

step_smoke() {
  title "smoke"
  if [[ $DRY_RUN == true ]]; then
    say "+ POST https://sentiment.<namespace>.<domain>/predict and look for POSITIVE"
    return 0
  fi
  local host="sentiment.$NAMESPACE.$DOMAIN" answer trust=()
  case $CERTIFICATE_ISSUER in
    private-ca)
      kubectl get secret platform-root --namespace=cert-manager --output='jsonpath={.data.tls\.crt}' | base64 -d >"$WORK/ca.crt"
      trust=(--cacert "$WORK/ca.crt")
      ;;
    letsencrypt-staging) trust=(--insecure) ;; # its root is in no trust store, by design
  esac
  # Straight to the address: DNS may not have propagated yet, and two cold starts may lie ahead.
  answer=$(curl --silent --show-error --fail --resolve "$host:443:$GATEWAY_IP" "${trust[@]}" \
    --retry 10 --retry-all-errors --retry-delay 5 --max-time 120 \
    --header 'content-type: application/json' --data '{"text": ["what a wonderful film"]}' "https://$host/predict") ||
    die "https://$host/predict does not answer; see: infra/platform/doctor.sh --settings $SETTINGS"
  [[ $answer == *POSITIVE* ]] || die "https://$host/predict answers, but not with a sentiment: ${answer:0:200}"
  say "$answer"
  say
  say "https://$host answers"
  [[ $CERTIFICATE_ISSUER != private-ca ]] || say "try: curl --cacert $WORK/ca.crt --resolve $host:443:$GATEWAY_IP https://$host/health"
}

main() {
  read_arguments "$@"
  [[ $DRY_RUN == true ]] || need_tools terraform az kubelogin kubectl helm python3 curl openssl git make
  step_state
  step_plan
  show_price
  consent
  step_apply
  step_access
  step_images
  step_platform
  step_manifests
  step_smoke
}

main "$@"
