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

    # OSSCluster: the transformer speaks to every shard itself, with a time budget and a breaker for each, so that a shard
    # in trouble costs only its own keys, and more shards mean more look-ups a second. It is Managed Redis's own default, and changing
    # it later recreates the database. EnterpriseCluster puts a proxy with one address in front: fewer ports to open and
    # less CPU for a look-up over several shards, but every look-up passes it. The transformer finds out by itself which it is.
    clustering_policy = var.managed_redis.clustering_policy
    # Any key may be evicted: it is a cache.
    eviction_policy = "AllKeysLFU"
  }
}

resource "azurerm_managed_redis_access_policy_assignment" "transformer" {
  count = length(azurerm_managed_redis.this)

  managed_redis_id = azurerm_managed_redis.this[0].id
  object_id        = azurerm_user_assigned_identity.workload["transformer"].principal_id
}
