resource "azurerm_storage_account" "models" {
  #checkov:skip=CKV_AZURE_33:no queue is used
  #checkov:skip=CKV_AZURE_59:off wherever private endpoints are on; tests/prod.tftest.hcl checks it
  #checkov:skip=CKV_AZURE_206:zone-redundant in production; a model can be uploaded again
  #checkov:skip=CKV2_AZURE_1:the platform's key encrypts public model weights well enough

  name                             = "st${local.compact_name}"
  location                         = azurerm_resource_group.this.location
  resource_group_name              = azurerm_resource_group.this.name
  account_kind                     = "StorageV2"
  account_tier                     = "Standard"
  account_replication_type         = var.storage_replication
  min_tls_version                  = "TLS1_2"
  https_traffic_only_enabled       = true
  shared_access_key_enabled        = false
  default_to_oauth_authentication  = true
  local_user_enabled               = false
  allow_nested_items_to_be_public  = false
  cross_tenant_replication_enabled = false
  public_network_access_enabled    = !var.private_endpoints
  tags                             = local.tags

  network_rules {
    default_action             = "Deny"
    bypass                     = ["AzureServices"]
    virtual_network_subnet_ids = [azurerm_subnet.nodes.id]

    # The storage firewall takes single addresses without a prefix length.
    ip_rules = [for range in var.authorized_ip_ranges : trimsuffix(range, "/32")]
  }

  blob_properties {
    versioning_enabled = true

    delete_retention_policy {
      days = 14
    }

    container_delete_retention_policy {
      days = 14
    }
  }

  sas_policy {
    expiration_period = "00.01:00:00"
  }
}

resource "azurerm_storage_container" "models" {
  #checkov:skip=CKV2_AZURE_21:changes are logged below; every start of a predictor reads

  name                  = "models"
  storage_account_id    = azurerm_storage_account.models.id
  container_access_type = "private"
}

resource "azurerm_monitor_diagnostic_setting" "models" {
  name                       = "changes"
  target_resource_id         = "${azurerm_storage_account.models.id}/blobServices/default"
  log_analytics_workspace_id = azurerm_log_analytics_workspace.this.id

  enabled_log {
    category = "StorageWrite"
  }

  enabled_log {
    category = "StorageDelete"
  }
}
