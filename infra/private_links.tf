locals {
  private_links = var.private_endpoints ? merge(
    {
      blob = {
        zone        = "privatelink.blob.core.windows.net"
        subresource = "blob"
        target      = azurerm_storage_account.models.id
      }
      registry = {
        zone        = "privatelink.azurecr.io"
        subresource = "registry"
        target      = azurerm_container_registry.this.id
      }
    },
    var.managed_redis == null ? {} : {
      redis = {
        zone        = "privatelink.redis.azure.net"
        subresource = "redisEnterprise"
        target      = azurerm_managed_redis.this[0].id
      }
    },
  ) : {}
}

resource "azurerm_private_dns_zone" "this" {
  for_each = local.private_links

  name                = each.value.zone
  resource_group_name = azurerm_resource_group.this.name
  tags                = local.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "this" {
  for_each = local.private_links

  name                = each.key
  private_dns_zone_id = azurerm_private_dns_zone.this[each.key].id
  virtual_network_id  = azurerm_virtual_network.this.id
  tags                = local.tags
}

resource "azurerm_private_endpoint" "this" {
  for_each = local.private_links

  name                = "pe-${local.name}-${each.key}"
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name
  subnet_id           = azurerm_subnet.private_endpoints.id
  tags                = local.tags

  private_service_connection {
    name                           = each.key
    private_connection_resource_id = each.value.target
    subresource_names              = [each.value.subresource]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = each.key
    private_dns_zone_ids = [azurerm_private_dns_zone.this[each.key].id]
  }
}
