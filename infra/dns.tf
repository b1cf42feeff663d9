resource "azurerm_dns_zone" "this" {
  name                = var.domain
  resource_group_name = azurerm_resource_group.this.name
  tags                = local.tags
}

# Every host of the namespace, KServe's and Knative's, lands on the one gateway.
resource "azurerm_dns_a_record" "namespace" {
  name                = "*.${var.namespace}"
  zone_name           = azurerm_dns_zone.this.name
  resource_group_name = azurerm_resource_group.this.name
  ttl                 = 300
  records             = [azurerm_public_ip.gateway.ip_address]
  tags                = local.tags
}
