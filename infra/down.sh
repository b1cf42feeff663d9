#!/usr/bin/env bash
# Remove an environment: the cluster with all that runs on it, and every Azure resource that Terraform made.
set -euo pipefail
INFRA=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=platform/lib.sh
source "$INFRA/platform/lib.sh"
# shellcheck source=azure.sh
source "$INFRA/azure.sh"

usage() {
  cat <<TXT
down.sh ENVIRONMENT [--yes] [--dry-run]

Asks for the environment's name first; --yes or CONFIRM=yes answers for you. The state's own account stays:
az group delete --name rg-sentiment-state removes it once no environment is left.
TXT
}

main() {
  local answer
  read_arguments "$@"
  [[ $DRY_RUN == true ]] || need_tools terraform az
  step_state
  title "plan"
  run terraform plan -input=false -destroy "${TF_VARS[@]}" "-out=$WORK/destroy.tfplan"
  if [[ $DRY_RUN != true && $CONFIRMED != yes ]]; then
    read -r -p "Remove all of this, models and images included? Type the environment's name to go on: " answer || true
    [[ ${answer:-} == "$ENVIRONMENT" ]] || die "nothing was removed"
  fi
  title "destroy"
  run terraform apply -input=false "$WORK/destroy.tfplan"
  say
  say "done: $ENVIRONMENT is gone"
}

main "$@"
