resource "azurerm_managed_redis" "this" {
  count = var.managed_redis == null ? 0 : 1

  name                      = "redis-${local.name}-${local.suffix}"
  location                  = azurerm_resource_group.this.location
  resource_group_name       = azurerm_resource_group.this.name
  sku_name                  = var.managed_redis.sku
  high_availability_enabled = var.managed_redis.high_availability
  public_network_access     = var.private_endpoints ? "Disabled" : "Enabled"
  tags                      = local.tags

  default_database {
    client_protocol                    = "Encrypted"
    access_keys_authentication_enabled = false

    # One MGET spans slots and the client is a plain one: no cluster protocol. Any key may go: it is a cache.
    clustering_policy = "EnterpriseCluster"
    eviction_policy   = "AllKeysLFU"
  }
}

resource "azurerm_managed_redis_access_policy_assignment" "transformer" {
  count = length(azurerm_managed_redis.this)

  managed_redis_id = azurerm_managed_redis.this[0].id
  object_id        = azurerm_user_assigned_identity.workload["transformer"].principal_id
}
