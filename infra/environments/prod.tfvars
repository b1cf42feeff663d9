# Three zones, an SLA, nothing but the gateway and the fenced-off Kubernetes API on the internet.
environment = "prod"
sku_tier    = "Standard"
outbound    = "userAssignedNATGateway"

system_pool    = { size = "Standard_D2ads_v6", min = 3, max = 5 }
platform_pool  = { size = "Standard_D4ads_v6", min = 2, max = 6 }
inference_pool = { size = "Standard_D4ads_v6", min = 3, max = 12, billed_node_hours = 2190 }

private_endpoints   = true
registry_sku        = "Premium"
managed_redis       = { sku = "Balanced_B0", high_availability = true }
storage_replication = "ZRS"

certificate_issuer = "letsencrypt"

managed_prometheus = true
container_logs     = true
log_daily_quota_gb = 5
expected_use       = { log_gb = 30, prometheus_samples_10m = 260 }
