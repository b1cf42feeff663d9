locals {
  registry_is_premium = var.registry_sku == "Premium"
}

resource "azurerm_container_registry" "this" {
  #checkov:skip=CKV_AZURE_139:pushes come from authorized_ip_ranges; pods pull over the private endpoint
  #checkov:skip=CKV_AZURE_164:the provider has dropped content trust; deployments name digests
  #checkov:skip=CKV_AZURE_165:one region serves
  #checkov:skip=CKV_AZURE_166:without a scanner that releases images, quarantine would block every pull
  #checkov:skip=CKV_AZURE_233:on with the Premium SKU; tests/prod.tftest.hcl checks it

  name                          = "cr${local.compact_name}"
  location                      = azurerm_resource_group.this.location
  resource_group_name           = azurerm_resource_group.this.name
  sku                           = var.registry_sku
  admin_enabled                 = false
  anonymous_pull_enabled        = false
  public_network_access_enabled = true
  data_endpoint_enabled         = local.registry_is_premium
  zone_redundancy_enabled       = local.registry_is_premium
  retention_policy_in_days      = local.registry_is_premium ? 14 : null
  network_rule_bypass_option    = "AzureServices"
  tags                          = local.tags

  # Nodes pull over the private endpoint; the public one is only there for pushes from known addresses.
  network_rule_set = local.registry_is_premium ? [{
    default_action = "Deny"
    ip_rule        = [for range in var.authorized_ip_ranges : { action = "Allow", ip_range = range }]
  }] : null

  lifecycle {
    precondition {
      condition     = local.registry_is_premium || !var.private_endpoints
      error_message = "Private endpoints need the Premium registry."
    }
  }
}
