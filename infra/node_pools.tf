resource "azurerm_kubernetes_cluster_node_pool" "platform" {
  count = var.platform_pool == null ? 0 : 1

  name                        = "platform"
  kubernetes_cluster_id       = azurerm_kubernetes_cluster.this.id
  vm_size                     = var.platform_pool.size
  auto_scaling_enabled        = true
  min_count                   = var.platform_pool.min
  max_count                   = var.platform_pool.max
  zones                       = var.zones
  vnet_subnet_id              = azurerm_subnet.nodes.id
  os_sku                      = "AzureLinux"
  os_disk_type                = "Ephemeral"
  os_disk_size_gb             = 64
  max_pods                    = 110
  host_encryption_enabled     = true
  temporary_name_for_rotation = "platftmp"
  tags                        = local.tags

  upgrade_settings {
    max_surge                = "33%"
    drain_timeout_in_minutes = 30
  }

  lifecycle {
    ignore_changes = [node_count, orchestrator_version]
  }
}

# Label and taint are what up.sh writes into the InferenceService as nodeSelector and toleration; Knative admits both only with its
# podspec-nodeselector and podspec-tolerations features on.
resource "azurerm_kubernetes_cluster_node_pool" "inference" {
  count = var.node_auto_provisioning ? 0 : 1

  name                        = "inference"
  kubernetes_cluster_id       = azurerm_kubernetes_cluster.this.id
  vm_size                     = var.inference_pool.size
  auto_scaling_enabled        = true
  min_count                   = var.inference_pool.min
  max_count                   = var.inference_pool.max
  node_labels                 = { workload = "inference" }
  node_taints                 = ["workload=inference:NoSchedule"]
  zones                       = var.zones
  vnet_subnet_id              = azurerm_subnet.nodes.id
  os_sku                      = "AzureLinux"
  os_disk_type                = "Ephemeral"
  os_disk_size_gb             = 64
  max_pods                    = 110
  host_encryption_enabled     = true
  temporary_name_for_rotation = "infertmp"
  tags                        = local.tags

  upgrade_settings {
    max_surge                = "33%"
    drain_timeout_in_minutes = 30
  }

  lifecycle {
    ignore_changes = [node_count, orchestrator_version]
  }
}
