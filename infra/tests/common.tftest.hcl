# Holds for every environment: run once with each environments/*.tfvars.

mock_provider "azurerm" {
  override_resource {
    target = azurerm_kubernetes_cluster.this
    values = { oidc_issuer_url = "https://issuer.example/tenant/cluster/" }
  }
  override_resource {
    target = azurerm_public_ip.gateway
    values = { ip_address = "198.51.100.10" }
  }
}

variables {
  subscription_id        = "00000000-0000-0000-0000-000000000000"
  admin_group_object_ids = ["11111111-1111-1111-1111-111111111111"]
  authorized_ip_ranges   = ["203.0.113.7/32"]
  domain                 = "ml.example.com"
  contact_email          = "ops@example.com"
}

run "only_entra_opens_the_cluster" {
  assert {
    condition     = azurerm_kubernetes_cluster.this.local_account_disabled
    error_message = "local accounts must be off"
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.azure_active_directory_role_based_access_control[0].azure_rbac_enabled
    error_message = "Azure RBAC must decide who may do what"
  }
  assert {
    condition     = !azurerm_kubernetes_cluster.this.run_command_enabled
    error_message = "run-command is a way around the closed API"
  }
  assert {
    condition     = contains(azurerm_kubernetes_cluster.this.api_server_access_profile[0].authorized_ip_ranges, "203.0.113.7/32")
    error_message = "the API must be limited to the named ranges"
  }
  assert {
    condition     = azurerm_role_assignment.admin["cluster/11111111-1111-1111-1111-111111111111"].role_definition_name == "Azure Kubernetes Service RBAC Cluster Admin"
    error_message = "with local accounts off somebody must be able to get in"
  }
}

run "workloads_have_identities_of_their_own" {
  assert {
    condition     = azurerm_kubernetes_cluster.this.oidc_issuer_enabled && azurerm_kubernetes_cluster.this.workload_identity_enabled
    error_message = "workload identity needs the issuer and the webhook"
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.identity[0].type == "UserAssigned"
    error_message = "a network of our own needs a user-assigned control-plane identity"
  }
  assert {
    condition = { for name, credential in azurerm_federated_identity_credential.workload : name => credential.subject } == {
      cert-manager = "system:serviceaccount:cert-manager:cert-manager"
      predictor    = "system:serviceaccount:sentiment:sentiment-predictor"
      transformer  = "system:serviceaccount:sentiment:sentiment-transformer"
    }
    error_message = "each identity trusts exactly one service account"
  }
  assert {
    condition = alltrue([
      for credential in azurerm_federated_identity_credential.workload :
      credential.issuer == "https://issuer.example/tenant/cluster/" && credential.audience == tolist(["api://AzureADTokenExchange"])
    ])
    error_message = "tokens come from this cluster and are meant for Entra"
  }
  assert {
    condition = {
      for name, grant in azurerm_role_assignment.identity : name => grant.role_definition_name
      if contains(["kubelet_pull", "predictor_models", "cert_manager_zone"], name)
      } == {
      cert_manager_zone = "DNS Zone Contributor"
      kubelet_pull      = "AcrPull"
      predictor_models  = "Storage Blob Data Reader"
    }
    error_message = "roles are the least that works"
  }
}

run "network_is_overlay_and_cilium" {
  assert {
    condition = (
      azurerm_kubernetes_cluster.this.network_profile[0].network_plugin_mode == "overlay" &&
      azurerm_kubernetes_cluster.this.network_profile[0].network_data_plane == "cilium" &&
      azurerm_kubernetes_cluster.this.network_profile[0].network_policy == "cilium"
    )
    error_message = "CNI overlay with Cilium enforcing network policies"
  }
  assert {
    condition     = azurerm_network_security_rule.gateway.destination_address_prefix == "198.51.100.10"
    error_message = "the internet reaches the gateway's address only"
  }
}

run "nodes_are_zonal_ephemeral_and_scale" {
  assert {
    condition     = toset(azurerm_kubernetes_cluster.this.default_node_pool[0].zones) == toset(["1", "2", "3"])
    error_message = "the system pool spans three zones"
  }
  assert {
    condition     = toset(azurerm_kubernetes_cluster_node_pool.inference[0].zones) == toset(["1", "2", "3"])
    error_message = "the inference pool spans three zones"
  }
  assert {
    condition     = azurerm_kubernetes_cluster_node_pool.inference[0].os_disk_type == "Ephemeral"
    error_message = "inference nodes boot from their local disk"
  }
  assert {
    condition     = azurerm_kubernetes_cluster_node_pool.inference[0].auto_scaling_enabled
    error_message = "the inference pool scales"
  }
  assert {
    condition = (
      azurerm_kubernetes_cluster_node_pool.inference[0].node_taints == tolist(["workload=inference:NoSchedule"]) &&
      azurerm_kubernetes_cluster_node_pool.inference[0].node_labels == tomap({ workload = "inference" })
    )
    error_message = "label and taint are what up.sh asks the scheduler for"
  }
}

run "cluster_keeps_itself_current_and_on_record" {
  assert {
    condition     = contains([for log in azurerm_monitor_diagnostic_setting.cluster.enabled_log : log.category], "kube-audit-admin")
    error_message = "who changed what must be on record"
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.automatic_upgrade_channel == "patch" && azurerm_kubernetes_cluster.this.node_os_upgrade_channel == "NodeImage"
    error_message = "patches and node images arrive by themselves"
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.maintenance_window_auto_upgrade[0].duration >= 4 && azurerm_kubernetes_cluster.this.maintenance_window_node_os[0].duration >= 4
    error_message = "and only inside a window"
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.azure_policy_enabled && azurerm_kubernetes_cluster_deployment_safeguard.this.pod_security_standards_level == "Restricted"
    error_message = "policy watches what is deployed"
  }
}

run "keys_are_off_everywhere" {
  assert {
    condition     = !azurerm_container_registry.this.admin_enabled && !azurerm_container_registry.this.anonymous_pull_enabled
    error_message = "the registry knows identities only"
  }
  assert {
    condition     = !azurerm_storage_account.models.shared_access_key_enabled && !azurerm_storage_account.models.local_user_enabled
    error_message = "the model account knows identities only"
  }
  assert {
    condition     = azurerm_storage_account.models.min_tls_version == "TLS1_2" && azurerm_storage_account.models.https_traffic_only_enabled
    error_message = "models travel over TLS"
  }
  assert {
    condition     = azurerm_storage_account.models.network_rules[0].default_action == "Deny" && azurerm_storage_container.models.container_access_type == "private"
    error_message = "models are not public"
  }
}

run "names_resolve_to_the_gateway" {
  assert {
    condition     = azurerm_dns_a_record.namespace.name == "*.sentiment" && toset(azurerm_dns_a_record.namespace.records) == toset(["198.51.100.10"])
    error_message = "the namespace's wildcard points at the static address"
  }
  assert {
    condition     = azurerm_public_ip.gateway.allocation_method == "Static"
    error_message = "the address must not move"
  }
}

run "spending_is_watched" {
  assert {
    condition     = toset(one(azurerm_consumption_budget_subscription.this.filter[0].dimension).values) == toset(["rg-sentiment-${var.environment}", "rg-sentiment-${var.environment}-nodes"])
    error_message = "the budget counts the nodes' resource group too"
  }
  assert {
    condition     = azurerm_consumption_budget_subscription.this.amount >= local.monthly_usd && length(azurerm_consumption_budget_subscription.this.notification) == 2
    error_message = "a budget under the estimate cries wolf; one without notices says nothing"
  }
  assert {
    condition     = length(local.unpriced) == 0
    error_message = "every line of the estimate has a price"
  }
}

run "outputs_are_what_the_scripts_read" {
  assert {
    condition     = output.gateway_ip == "198.51.100.10" && output.gateway_ip_name == "pip-sentiment-${var.environment}-gateway"
    error_message = "the gateway's address and its name"
  }
  assert {
    condition     = output.cluster_name == "aks-sentiment-${var.environment}" && output.resource_group == "rg-sentiment-${var.environment}"
    error_message = "where the cluster is"
  }
  assert {
    condition     = output.domain == "ml.example.com" && output.namespace == "sentiment"
    error_message = "what it is called"
  }
  assert {
    condition     = endswith(output.storage_uri, ".blob.core.windows.net/models")
    error_message = "where models are"
  }
  assert {
    condition     = strcontains(output.monthly_estimate, "total")
    error_message = "what it costs"
  }
}

run "an_open_api_is_refused" {
  command = plan
  variables {
    authorized_ip_ranges = []
  }
  expect_failures = [azurerm_kubernetes_cluster.this]
}

run "the_whole_internet_is_no_range" {
  command = plan
  variables {
    authorized_ip_ranges = ["0.0.0.0/0"]
  }
  expect_failures = [var.authorized_ip_ranges]
}

run "nobody_to_let_in_is_refused" {
  command = plan
  variables {
    admin_group_object_ids = []
  }
  expect_failures = [var.admin_group_object_ids]
}

run "a_size_without_a_local_disk_is_refused" {
  command = plan
  variables {
    inference_pool = { size = "Standard_D4as_v6", min = 0, max = 1, billed_node_hours = 0 }
  }
  expect_failures = [var.inference_pool]
}

run "a_private_cluster_needs_no_ranges" {
  command = plan
  variables {
    private_cluster      = true
    authorized_ip_ranges = []
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.private_cluster_enabled && length(azurerm_kubernetes_cluster.this.api_server_access_profile) == 0
    error_message = "a private API has no public ranges"
  }
}

run "node_auto_provisioning_replaces_the_inference_pool" {
  command = plan
  variables {
    node_auto_provisioning = true
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.node_provisioning_profile[0].mode == "Auto" && length(azurerm_kubernetes_cluster_node_pool.inference) == 0
    error_message = "AKS makes the nodes, no pool does"
  }
  assert {
    condition     = output.node_provisioning == "auto"
    error_message = "the platform must know to add its NodePool"
  }
}

run "a_region_without_prices_says_so" {
  command = plan
  variables {
    location = "norwayeast"
  }
  expect_failures = [check.every_line_has_a_price]
}
