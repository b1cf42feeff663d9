resource "azurerm_kubernetes_cluster" "this" {
  #checkov:skip=CKV_AZURE_115:private_cluster is a variable; without it the API is open to named ranges only, and a precondition refuses an empty list
  #checkov:skip=CKV_AZURE_117:OS disks are ephemeral and encrypted at host with the platform's key; nothing on nodes outlives them

  name                = "aks-${local.name}"
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name
  node_resource_group = "rg-${local.name}-nodes"
  dns_prefix          = local.name
  tags                = local.tags

  sku_tier              = var.sku_tier
  cost_analysis_enabled = var.sku_tier == "Standard"
  kubernetes_version    = local.versions["KUBERNETES_VERSION"]

  automatic_upgrade_channel = "patch"
  node_os_upgrade_channel   = "NodeImage"

  local_account_disabled  = true
  run_command_enabled     = false
  private_cluster_enabled = var.private_cluster

  oidc_issuer_enabled       = true
  workload_identity_enabled = true

  azure_policy_enabled         = true
  image_cleaner_enabled        = true
  image_cleaner_interval_hours = 48

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.control_plane.id]
  }

  kubelet_identity {
    client_id                 = azurerm_user_assigned_identity.kubelet.client_id
    object_id                 = azurerm_user_assigned_identity.kubelet.principal_id
    user_assigned_identity_id = azurerm_user_assigned_identity.kubelet.id
  }

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    admin_group_object_ids = var.admin_group_object_ids
  }

  dynamic "api_server_access_profile" {
    for_each = var.private_cluster ? [] : [1]

    content {
      # Behind a NAT gateway the nodes themselves come from its address.
      authorized_ip_ranges = concat(var.authorized_ip_ranges, [for ip in azurerm_public_ip.nat : "${ip.ip_address}/32"])
    }
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    pod_cidr            = "10.244.0.0/16"
    service_cidr        = "10.21.0.0/20"
    dns_service_ip      = "10.21.0.10"
    load_balancer_sku   = "standard"
    outbound_type       = var.outbound

    dynamic "advanced_networking" {
      for_each = var.network_observability ? [1] : []

      content {
        observability_enabled = true
        security_enabled      = true
      }
    }
  }

  default_node_pool {
    name                         = "system"
    vm_size                      = var.system_pool.size
    auto_scaling_enabled         = true
    min_count                    = var.system_pool.min
    max_count                    = var.system_pool.max
    only_critical_addons_enabled = var.platform_pool != null
    zones                        = var.zones
    vnet_subnet_id               = azurerm_subnet.nodes.id
    os_sku                       = "AzureLinux"
    os_disk_type                 = "Ephemeral"
    os_disk_size_gb              = 64
    max_pods                     = 110
    host_encryption_enabled      = true
    temporary_name_for_rotation  = "systemtmp"
    tags                         = local.tags

    upgrade_settings {
      max_surge                = "33%"
      drain_timeout_in_minutes = 30
    }
  }

  node_provisioning_profile {
    mode               = var.node_auto_provisioning ? "Auto" : "Manual"
    default_node_pools = "None"
  }

  auto_scaler_profile {
    expander                     = "least-waste"
    balance_similar_node_groups  = true
    scale_down_unneeded          = "10m"
    skip_nodes_with_system_pods  = true
    max_graceful_termination_sec = "600"
  }

  maintenance_window_auto_upgrade {
    frequency   = "Weekly"
    interval    = 1
    duration    = 4
    day_of_week = "Tuesday"
    start_time  = "02:00"
    utc_offset  = "+00:00"
  }

  maintenance_window_node_os {
    frequency   = "Weekly"
    interval    = 1
    duration    = 4
    day_of_week = "Wednesday"
    start_time  = "02:00"
    utc_offset  = "+00:00"
  }

  key_vault_secrets_provider {
    secret_rotation_enabled = true
  }

  dynamic "monitor_metrics" {
    for_each = var.managed_prometheus ? [1] : []

    content {}
  }

  dynamic "oms_agent" {
    for_each = var.container_logs ? [1] : []

    content {
      log_analytics_workspace_id      = azurerm_log_analytics_workspace.this.id
      msi_auth_for_monitoring_enabled = true
    }
  }

  lifecycle {
    # The patch channel and the autoscaler own these after the first apply.
    ignore_changes = [kubernetes_version, default_node_pool[0].node_count, default_node_pool[0].orchestrator_version]

    precondition {
      condition     = var.private_cluster || length(var.authorized_ip_ranges) > 0
      error_message = "Close the Kubernetes API: set private_cluster, or name your addresses in authorized_ip_ranges."
    }

    precondition {
      condition     = contains(["1.35", "1.36", "1.37"], local.versions["KUBERNETES_VERSION"])
      error_message = "KUBERNETES_VERSION in platform/versions.env must be a minor version that the pinned Knative and Istio support: 1.35, 1.36 or 1.37."
    }
  }

  depends_on = [
    azurerm_role_assignment.identity["control_plane_subnet"],
    azurerm_role_assignment.identity["control_plane_kubelet"],
    azurerm_role_assignment.identity["control_plane_gateway"], # on destroy, the load balancer releases the address first
    azurerm_subnet_nat_gateway_association.nodes,
  ]
}

resource "azurerm_kubernetes_cluster_deployment_safeguard" "this" {
  kubernetes_cluster_id        = azurerm_kubernetes_cluster.this.id
  level                        = var.safeguards_level
  pod_security_standards_level = "Restricted"
  excluded_namespaces          = ["cert-manager", "istio-system", "knative-operator", "knative-serving", "kserve", "monitoring"]
}
