# Two identities run the cluster (control plane, kubelet); three more belong to one workload each, through its service account.

resource "azurerm_user_assigned_identity" "control_plane" {
  name                = "id-${local.name}-control-plane"
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = local.tags
}

resource "azurerm_user_assigned_identity" "kubelet" {
  name                = "id-${local.name}-kubelet"
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = local.tags
}

locals {
  workloads = {
    cert-manager = "system:serviceaccount:cert-manager:cert-manager"
    predictor    = "system:serviceaccount:${var.namespace}:sentiment-predictor"
    transformer  = "system:serviceaccount:${var.namespace}:sentiment-transformer"
  }
}

resource "azurerm_user_assigned_identity" "workload" {
  for_each = local.workloads

  name                = "id-${local.name}-${each.key}"
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = local.tags
}

resource "azurerm_federated_identity_credential" "workload" {
  for_each = local.workloads

  name                      = each.key
  user_assigned_identity_id = azurerm_user_assigned_identity.workload[each.key].id
  issuer                    = azurerm_kubernetes_cluster.this.oidc_issuer_url
  audience                  = ["api://AzureADTokenExchange"]
  subject                   = each.value
}

locals {
  roles = merge(
    {
      # The cluster joins nodes to our subnet and the gateway's Service to our address.
      control_plane_subnet  = { role = "Network Contributor", scope = azurerm_subnet.nodes.id, principal = azurerm_user_assigned_identity.control_plane.principal_id }
      control_plane_gateway = { role = "Network Contributor", scope = azurerm_public_ip.gateway.id, principal = azurerm_user_assigned_identity.control_plane.principal_id }
      control_plane_kubelet = { role = "Managed Identity Operator", scope = azurerm_user_assigned_identity.kubelet.id, principal = azurerm_user_assigned_identity.control_plane.principal_id }
      kubelet_pull          = { role = "AcrPull", scope = azurerm_container_registry.this.id, principal = azurerm_user_assigned_identity.kubelet.principal_id }
      predictor_models      = { role = "Storage Blob Data Reader", scope = azurerm_storage_account.models.id, principal = azurerm_user_assigned_identity.workload["predictor"].principal_id }
      cert_manager_zone     = { role = "DNS Zone Contributor", scope = azurerm_dns_zone.this.id, principal = azurerm_user_assigned_identity.workload["cert-manager"].principal_id }
    },
    var.managed_prometheus ? {
      grafana_metrics = { role = "Monitoring Data Reader", scope = azurerm_monitor_workspace.this[0].id, principal = azurerm_dashboard_grafana.this[0].identity[0].principal_id }
    } : {},
  )

  admin_roles = merge(
    {
      cluster = { role = "Azure Kubernetes Service RBAC Cluster Admin", scope = azurerm_kubernetes_cluster.this.id }
      images  = { role = "AcrPush", scope = azurerm_container_registry.this.id }
      models  = { role = "Storage Blob Data Contributor", scope = azurerm_storage_account.models.id }
    },
    var.managed_prometheus ? {
      dashboards = { role = "Grafana Admin", scope = azurerm_dashboard_grafana.this[0].id }
    } : {},
  )

  admin_grants = {
    for pair in setproduct(keys(local.admin_roles), var.admin_group_object_ids) :
    "${pair[0]}/${pair[1]}" => merge(local.admin_roles[pair[0]], { principal = pair[1] })
  }
}

resource "azurerm_role_assignment" "identity" {
  for_each = local.roles

  role_definition_name = each.value.role
  scope                = each.value.scope
  principal_id         = each.value.principal
  principal_type       = "ServicePrincipal"

  # A new identity has not reached every replica of the directory yet.
  skip_service_principal_aad_check = true
}

resource "azurerm_role_assignment" "admin" {
  for_each = local.admin_grants

  role_definition_name = each.value.role
  scope                = each.value.scope
  principal_id         = each.value.principal
  principal_type       = "Group"
}
