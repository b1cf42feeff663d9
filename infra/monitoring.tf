resource "azurerm_log_analytics_workspace" "this" {
  name                         = "log-${local.name}"
  location                     = azurerm_resource_group.this.location
  resource_group_name          = azurerm_resource_group.this.name
  sku                          = "PerGB2018"
  retention_in_days            = 30
  daily_quota_gb               = var.log_daily_quota_gb
  local_authentication_enabled = false
  tags                         = local.tags
}

# Who changed what: the admin audit log leaves out the read-only noise that makes kube-audit expensive.
resource "azurerm_monitor_diagnostic_setting" "cluster" {
  name                           = "audit"
  target_resource_id             = azurerm_kubernetes_cluster.this.id
  log_analytics_workspace_id     = azurerm_log_analytics_workspace.this.id
  log_analytics_destination_type = "Dedicated"

  enabled_log {
    category = "kube-audit-admin"
  }

  enabled_log {
    category = "guard"
  }
}

resource "azurerm_monitor_workspace" "this" {
  count = var.managed_prometheus ? 1 : 0

  name                = "amw-${local.name}"
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = local.tags
}

resource "azurerm_monitor_data_collection_endpoint" "prometheus" {
  count = length(azurerm_monitor_workspace.this)

  name                = "dce-${local.name}"
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name
  kind                = "Linux"
  tags                = local.tags
}

resource "azurerm_monitor_data_collection_rule" "prometheus" {
  count = length(azurerm_monitor_workspace.this)

  name                        = "dcr-${local.name}"
  location                    = azurerm_resource_group.this.location
  resource_group_name         = azurerm_resource_group.this.name
  kind                        = "Linux"
  data_collection_endpoint_id = azurerm_monitor_data_collection_endpoint.prometheus[0].id
  tags                        = local.tags

  data_sources {
    prometheus_forwarder {
      name    = "cluster"
      streams = ["Microsoft-PrometheusMetrics"]
    }
  }

  destinations {
    monitor_account {
      name               = "workspace"
      monitor_account_id = azurerm_monitor_workspace.this[0].id
    }
  }

  data_flow {
    streams      = ["Microsoft-PrometheusMetrics"]
    destinations = ["workspace"]
  }
}

resource "azurerm_monitor_data_collection_rule_association" "prometheus" {
  count = length(azurerm_monitor_workspace.this)

  name                    = "prometheus"
  target_resource_id      = azurerm_kubernetes_cluster.this.id
  data_collection_rule_id = azurerm_monitor_data_collection_rule.prometheus[0].id
}

# The agent fetches its configuration here; Azure fixes the name.
resource "azurerm_monitor_data_collection_rule_association" "configuration" {
  count = length(azurerm_monitor_workspace.this)

  name                        = "configurationAccessEndpoint"
  target_resource_id          = azurerm_kubernetes_cluster.this.id
  data_collection_endpoint_id = azurerm_monitor_data_collection_endpoint.prometheus[0].id
}

resource "azurerm_dashboard_grafana" "this" {
  count = length(azurerm_monitor_workspace.this)

  name                    = "amg-${var.environment}-${local.suffix}"
  location                = azurerm_resource_group.this.location
  resource_group_name     = azurerm_resource_group.this.name
  grafana_major_version   = local.versions["GRAFANA_MAJOR_VERSION"]
  sku                     = "Standard"
  api_key_enabled         = false
  zone_redundancy_enabled = false
  tags                    = local.tags

  identity {
    type = "SystemAssigned"
  }

  azure_monitor_workspace_integrations {
    resource_id = azurerm_monitor_workspace.this[0].id
  }
}
