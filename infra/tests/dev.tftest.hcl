# Run with environments/dev.tfvars.

mock_provider "azurerm" {}

variables {
  subscription_id        = "00000000-0000-0000-0000-000000000000"
  admin_group_object_ids = ["11111111-1111-1111-1111-111111111111"]
  authorized_ip_ranges   = ["203.0.113.7/32"]
  domain                 = "ml.example.com"
  contact_email          = "ops@example.com"
}

run "nothing_runs_that_dev_can_do_without" {
  assert {
    condition     = azurerm_kubernetes_cluster.this.sku_tier == "Free" && length(azurerm_nat_gateway.this) == 0
    error_message = "no control-plane price, no NAT gateway"
  }
  assert {
    condition     = length(azurerm_managed_redis.this) == 0 && length(azurerm_private_endpoint.this) == 0 && length(azurerm_dashboard_grafana.this) == 0
    error_message = "no managed Redis, endpoints or Grafana"
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.default_node_pool[0].min_count == 1 && length(azurerm_kubernetes_cluster_node_pool.platform) == 0
    error_message = "one node holds it all"
  }
  assert {
    condition     = !azurerm_kubernetes_cluster.this.default_node_pool[0].only_critical_addons_enabled
    error_message = "without a platform pool the system pool must take the platform"
  }
  assert {
    condition     = azurerm_kubernetes_cluster_node_pool.inference[0].min_count == 0
    error_message = "inference nodes go away when nothing runs"
  }
  assert {
    condition     = local.monthly_usd < 250
    error_message = "dev stays cheap"
  }
}

run "the_scripts_know_it_is_dev" {
  assert {
    condition     = output.redis_url == "" && output.prometheus == "stack" && output.availability == "single" && output.certificate_issuer == "private-ca"
    error_message = "own Redis, own Prometheus, one replica, own certificate authority"
  }
}

run "private_endpoints_need_premium" {
  command = plan
  variables {
    private_endpoints = true
  }
  expect_failures = [azurerm_container_registry.this]
}
