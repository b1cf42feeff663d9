# Run with environments/prod.tfvars.

mock_provider "azurerm" {
  override_resource {
    target = azurerm_public_ip.nat
    values = { ip_address = "198.51.100.20" }
  }
  override_resource {
    target = azurerm_managed_redis.this
    values = { hostname = "redis.example" }
  }
  override_resource {
    target = azurerm_user_assigned_identity.workload
    values = { principal_id = "22222222-2222-2222-2222-222222222222" }
  }
}

variables {
  subscription_id        = "00000000-0000-0000-0000-000000000000"
  admin_group_object_ids = ["11111111-1111-1111-1111-111111111111"]
  authorized_ip_ranges   = ["203.0.113.7/32"]
  domain                 = "ml.example.com"
  contact_email          = "ops@example.com"
}

run "redis_takes_identities_over_tls" {
  assert {
    condition = (
      azurerm_managed_redis.this[0].default_database[0].client_protocol == "Encrypted" &&
      !azurerm_managed_redis.this[0].default_database[0].access_keys_authentication_enabled
    )
    error_message = "TLS on, keys off"
  }
  assert {
    condition     = azurerm_managed_redis.this[0].default_database[0].clustering_policy == "OSSCluster" && azurerm_managed_redis.this[0].default_database[0].eviction_policy == "AllKeysLFU"
    error_message = "every shard spoken to directly, and a cache that may drop anything"
  }
  assert {
    condition     = azurerm_managed_redis_access_policy_assignment.transformer[0].object_id == "22222222-2222-2222-2222-222222222222"
    error_message = "the transformer's identity is the one let in"
  }
  assert {
    condition     = azurerm_managed_redis.this[0].high_availability_enabled
    error_message = "production Redis is replicated"
  }
  assert {
    condition     = output.redis_url == "rediss://redis.example:10000"
    error_message = "the manifests get a TLS address"
  }
}

run "redis_policy_is_a_choice" {
  variables {
    managed_redis = { sku = "Balanced_B0", high_availability = true, clustering_policy = "EnterpriseCluster" }
  }
  assert {
    condition     = azurerm_managed_redis.this[0].default_database[0].clustering_policy == "EnterpriseCluster"
    error_message = "the policy is what the variable says"
  }
}

run "redis_policy_is_one_that_exists" {
  command = plan
  variables {
    managed_redis = { sku = "Balanced_B0", high_availability = true, clustering_policy = "Cluster" }
  }
  expect_failures = [var.managed_redis]
}

run "services_are_private" {
  assert {
    condition     = toset(keys(azurerm_private_endpoint.this)) == toset(["blob", "redis", "registry"])
    error_message = "everything the pods use has a private endpoint"
  }
  assert {
    condition     = azurerm_managed_redis.this[0].public_network_access == "Disabled" && !azurerm_storage_account.models.public_network_access_enabled
    error_message = "Redis and models are off the internet"
  }
  assert {
    condition     = azurerm_container_registry.this.network_rule_set[0].default_action == "Deny"
    error_message = "pushes come from named addresses only"
  }
  assert {
    condition     = { for name, zone in azurerm_private_dns_zone.this : name => zone.name }["redis"] == "privatelink.redis.azure.net"
    error_message = "Managed Redis has this zone, the older service another"
  }
}

run "production_is_supported_and_spread" {
  assert {
    condition     = azurerm_kubernetes_cluster.this.sku_tier == "Standard"
    error_message = "production has the SLA"
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.default_node_pool[0].only_critical_addons_enabled && length(azurerm_kubernetes_cluster_node_pool.platform) == 1
    error_message = "the platform has nodes of its own"
  }
  assert {
    condition     = azurerm_kubernetes_cluster_node_pool.inference[0].min_count >= 3
    error_message = "one inference node for each zone"
  }
  assert {
    condition     = azurerm_container_registry.this.zone_redundancy_enabled
    error_message = "a zone's loss must not stop image pulls"
  }
  assert {
    condition     = contains(azurerm_kubernetes_cluster.this.api_server_access_profile[0].authorized_ip_ranges, "198.51.100.20/32")
    error_message = "nodes come from the NAT gateway and must reach the API"
  }
}

run "metrics_go_to_azure_monitor" {
  assert {
    condition     = length(azurerm_kubernetes_cluster.this.monitor_metrics) == 1
    error_message = "the managed collectors are on"
  }
  assert {
    condition     = azurerm_monitor_data_collection_rule_association.configuration[0].name == "configurationAccessEndpoint"
    error_message = "Azure looks for exactly this name"
  }
  assert {
    condition     = azurerm_role_assignment.identity["grafana_metrics"].role_definition_name == "Monitoring Data Reader"
    error_message = "Grafana may read the metrics"
  }
  assert {
    condition     = output.prometheus == "managed" && output.availability == "zonal"
    error_message = "the platform must know"
  }
}
