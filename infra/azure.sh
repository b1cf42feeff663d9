# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts that source this read what it sets
# What up.sh and down.sh share: arguments, the remote state, access to the cluster.

REPO=$(dirname "$INFRA")

environments() {
  local file
  for file in "$INFRA"/environments/*.tfvars; do
    file=$(basename "$file" .tfvars)
    [[ $file == mine ]] || printf '%s ' "$file"
  done
}

read_arguments() {
  ENVIRONMENT='' CONFIRMED=${CONFIRM:-no}
  while [[ $# -gt 0 ]]; do
    case $1 in
      --yes | -y) CONFIRMED=yes ;;
      --dry-run) DRY_RUN=true ;;
      --help | -h)
        usage
        exit 0
        ;;
      -*) die "unknown option $1 (see --help)" ;;
      *) ENVIRONMENT=$1 ;;
    esac
    shift
  done
  [[ -n $ENVIRONMENT && -e $INFRA/environments/$ENVIRONMENT.tfvars && $ENVIRONMENT != mine ]] ||
    die "name one environment: $(environments)"
  MINE=$INFRA/environments/mine.tfvars
  if [[ $DRY_RUN == true && ! -e $MINE ]]; then
    MINE=$MINE.example
  fi
  [[ -e $MINE ]] || die "copy infra/environments/mine.tfvars.example to mine.tfvars and fill it in"
  SUBSCRIPTION=$(sed -n 's/^subscription_id *= *"\([0-9a-f-]*\)".*/\1/p' "$MINE")
  LOCATION=$(sed -n 's/^location *= *"\([a-z0-9]*\)".*/\1/p' "$MINE" "$INFRA/environments/$ENVIRONMENT.tfvars" | head -n 1)
  [[ -n $SUBSCRIPTION ]] || die "$MINE names no subscription_id"
  WORK=${WORK_DIR:-$REPO/.cache/infra}/$ENVIRONMENT
  SETTINGS=$WORK/settings.env
  TAG=$(git -C "$REPO" describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || echo latest)
  TF_VARS=("-var-file=environments/$ENVIRONMENT.tfvars" "-var-file=$MINE")
  mkdir -p "$WORK"
  cd "$INFRA" || die "$INFRA is gone"
  # One of each per environment, so that one environment's plan is never applied to another's state.
  export TF_DATA_DIR=$WORK/terraform KUBECONFIG=$WORK/kubeconfig
}

# The account that holds the state cannot be in the state. Its name is derived from the subscription, so every run finds it again.
step_state() {
  title "state"
  local group=rg-sentiment-state account me
  account=stsentstate$(sha256sum <<<"$SUBSCRIPTION" | cut -c1-10)
  local to=(--subscription "$SUBSCRIPTION")
  run az group create "${to[@]}" --name $group --location "${LOCATION:-swedencentral}" --output none
  run az storage account create "${to[@]}" --resource-group $group --name "$account" --sku Standard_ZRS --min-tls-version TLS1_2 \
    --allow-shared-key-access false --allow-blob-public-access false --output none
  run az storage account blob-service-properties update "${to[@]}" --resource-group $group --account-name "$account" \
    --enable-versioning true --enable-delete-retention true --delete-retention-days 30 --output none
  if [[ $DRY_RUN == true ]]; then
    me=YOU
  else
    me=$(az ad signed-in-user show --query id --output tsv 2>/dev/null) ||
      me=$(az ad sp show --id "$(az account show --query user.name --output tsv)" --query id --output tsv) ||
      die "az is not signed in: run 'az login'"
  fi
  run az role assignment create "${to[@]}" --role "Storage Blob Data Contributor" --assignee "$me" --output none \
    --scope "/subscriptions/$SUBSCRIPTION/resourceGroups/$group/providers/Microsoft.Storage/storageAccounts/$account"
  # A new role assignment takes minutes to take effect everywhere.
  wait_until "write access to the state" 300 \
    az storage container create "${to[@]}" --account-name "$account" --name state --auth-mode login --output none
  run az feature register "${to[@]}" --namespace Microsoft.Compute --name EncryptionAtHost --output none
  wait_until "encryption at host" 1800 encryption_at_host
  run terraform init -input=false -reconfigure "-backend-config=resource_group_name=$group" \
    "-backend-config=storage_account_name=$account" -backend-config=container_name=state "-backend-config=key=$ENVIRONMENT.tfstate"
}

encryption_at_host() {
  [[ $(az feature show --subscription "$SUBSCRIPTION" --namespace Microsoft.Compute --name EncryptionAtHost \
    --query properties.state --output tsv) == Registered ]]
}

step_access() {
  title "access"
  run az aks get-credentials --subscription "$SUBSCRIPTION" --resource-group "${RESOURCE_GROUP:-RESOURCE_GROUP}" \
    --name "${CLUSTER_NAME:-CLUSTER_NAME}" --file "$KUBECONFIG" --overwrite-existing
  run kubelogin convert-kubeconfig --kubeconfig "$KUBECONFIG" --login azurecli
}
