# As little as it can cost: one small node for everything, inference nodes only while something runs.
environment = "dev"
sku_tier    = "Free"
outbound    = "loadBalancer"

system_pool    = { size = "Standard_D4alds_v6", min = 1, max = 3 }
platform_pool  = null
inference_pool = { size = "Standard_D4alds_v6", min = 0, max = 2, billed_node_hours = 176 } # one node, 22 days of 8 hours

private_endpoints   = false
registry_sku        = "Basic"
managed_redis       = null # the manifests bring a Redis
storage_replication = "LRS"

certificate_issuer = "private-ca" # works before any delegation

managed_prometheus = false # kube-prometheus-stack on the one node
container_logs     = false
log_daily_quota_gb = 0.5
expected_use       = { log_gb = 3, prometheus_samples_10m = 0 }
