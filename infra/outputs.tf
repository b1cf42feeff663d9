# What up.sh, the platform scripts and the manifests take; every value is a string, so that a shell can read them all at once.

output "resource_group" {
  description = "Resource group of everything but the nodes."
  value       = azurerm_resource_group.this.name
}

output "subscription_id" {
  description = "Subscription of the DNS zone that cert-manager edits."
  value       = var.subscription_id
}

output "cluster_name" {
  description = "For az aks get-credentials."
  value       = azurerm_kubernetes_cluster.this.name
}

output "registry_name" {
  description = "For az acr login."
  value       = azurerm_container_registry.this.name
}

output "registry" {
  description = "Login server, the first part of image names; Knative must not resolve tags there."
  value       = azurerm_container_registry.this.login_server
}

output "namespace" {
  description = "Namespace of the InferenceService."
  value       = var.namespace
}

output "domain" {
  description = "Knative's and KServe's domain."
  value       = azurerm_dns_zone.this.name
}

output "name_servers" {
  description = "Name servers to delegate the domain to."
  value       = join(" ", azurerm_dns_zone.this.name_servers)
}

output "gateway_ip" {
  description = "Address of the Istio gateway."
  value       = azurerm_public_ip.gateway.ip_address
}

output "gateway_ip_name" {
  description = "Name of that address, for the gateway's Service."
  value       = azurerm_public_ip.gateway.name
}

output "certificate_issuer" {
  description = "Which issuer signs the wildcard certificate."
  value       = var.certificate_issuer
}

output "contact_email" {
  description = "E-mail address of the account at the certificate authority."
  value       = var.contact_email
}

output "cert_manager_client_id" {
  description = "Identity that proves ownership of the zone."
  value       = azurerm_user_assigned_identity.workload["cert-manager"].client_id
}

output "transformer_client_id" {
  description = "Identity that reads and writes Redis."
  value       = azurerm_user_assigned_identity.workload["transformer"].client_id
}

output "predictor_client_id" {
  description = "Identity that reads the model account."
  value       = azurerm_user_assigned_identity.workload["predictor"].client_id
}

output "redis_url" {
  description = "Managed Redis, or empty when the manifests bring their own."
  value       = var.managed_redis == null ? "" : "rediss://${azurerm_managed_redis.this[0].hostname}:10000"
}

output "storage_uri" {
  description = "Prefix of STORAGE_URI for models kept in blob storage."
  value       = "https://${azurerm_storage_account.models.name}.blob.core.windows.net/${azurerm_storage_container.models.name}"
}

output "prometheus" {
  description = "managed: Azure Monitor scrapes; stack: the platform installs kube-prometheus-stack."
  value       = var.managed_prometheus ? "managed" : "stack"
}

output "node_provisioning" {
  description = "auto: the platform adds a NodePool for inference; pool: the fixed inference pool is used."
  value       = var.node_auto_provisioning ? "auto" : "pool"
}

output "availability" {
  description = "single: one replica of each platform part; zonal: two, spread."
  value       = var.system_pool.min > 1 ? "zonal" : "single"
}

output "monthly_estimate" {
  description = "What a month costs, line by line."
  value       = local.cost_report
}
