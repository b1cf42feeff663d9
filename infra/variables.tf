# What this is and where it runs.

variable "subscription_id" {
  description = "Subscription that holds and pays for everything."
  type        = string
}

variable "environment" {
  description = "Name of the environment; part of every resource name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.environment))
    error_message = "environment is 2 to 8 lower-case letters or digits and starts with a letter: storage and registry names are made of it."
  }
}

variable "location" {
  description = "Azure region with availability zones."
  type        = string
  default     = "swedencentral"
}

variable "zones" {
  description = "Availability zones for nodes and the gateway address."
  type        = list(string)
  default     = ["1", "2", "3"]
}

variable "namespace" {
  description = "Kubernetes namespace of the InferenceService."
  type        = string
  default     = "sentiment"
}

# Who may reach it.

variable "admin_group_object_ids" {
  description = "Entra groups whose members administer the cluster, push images and upload models. Local accounts are off: without a group nobody gets in."
  type        = list(string)

  validation {
    condition     = length(var.admin_group_object_ids) > 0
    error_message = "Name at least one Entra group: the cluster has no local accounts."
  }
}

variable "private_cluster" {
  description = "Keep the Kubernetes API off the internet; reaching it then needs a way into the virtual network."
  type        = bool
  default     = false
}

variable "authorized_ip_ranges" {
  description = "CIDR ranges that may reach the Kubernetes API and the registry's public endpoint."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for range in var.authorized_ip_ranges : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "Each range is a CIDR such as 203.0.113.7/32, and none may be the whole internet."
  }
}

variable "private_endpoints" {
  description = "Reach Redis, storage and the registry through private endpoints, public access off (the registry stays open to authorized_ip_ranges for pushes)."
  type        = bool
  default     = true
}

# Cluster.

variable "sku_tier" {
  description = "AKS tier: Standard carries the uptime SLA, Free costs nothing."
  type        = string
  default     = "Standard"

  validation {
    condition     = contains(["Free", "Standard"], var.sku_tier)
    error_message = "sku_tier is Free or Standard."
  }
}

variable "outbound" {
  description = "How nodes reach the internet: loadBalancer saves the price of a gateway, userAssignedNATGateway does not run out of SNAT ports."
  type        = string
  default     = "userAssignedNATGateway"

  validation {
    condition     = contains(["loadBalancer", "userAssignedNATGateway"], var.outbound)
    error_message = "outbound is loadBalancer or userAssignedNATGateway."
  }
}

variable "system_pool" {
  description = "System pool. Sizes need a local disk (a 'd' in the name): the OS disk is ephemeral."
  type        = object({ size = string, min = number, max = number })
  default     = { size = "Standard_D2ads_v6", min = 3, max = 5 }

  validation {
    condition     = can(regex("^Standard_[A-Z]+[0-9]+[a-z]*d[a-z]*_v[0-9]+$", var.system_pool.size))
    error_message = "The OS disk is ephemeral: take a size with a local disk, such as Standard_D2ads_v6."
  }
}

variable "platform_pool" {
  description = "Pool for Istio, Knative, KServe and the gateway. Null: they share the system pool, which then takes more than critical add-ons."
  type        = object({ size = string, min = number, max = number })
  default     = { size = "Standard_D4ads_v6", min = 2, max = 6 }

  validation {
    condition     = var.platform_pool == null || can(regex("^Standard_[A-Z]+[0-9]+[a-z]*d[a-z]*_v[0-9]+$", var.platform_pool.size))
    error_message = "The OS disk is ephemeral: take a size with a local disk, such as Standard_D4ads_v6."
  }
}

variable "inference_pool" {
  description = <<-EOT
    Pool for the predictor and the transformer, tainted so that nothing else lands there.
    Standard_D4ads_v6 (Zen 4, AVX512-VNNI and BF16) is the default: broad quota and a local disk for a fast boot. Alternates:
    Standard_F4alds_v7 (a whole core per vCPU, best where dense arithmetic is the limit), Standard_D4ds_v6 (AMX, best for BF16 and int8),
    Standard_D8ads_v6 (packs several predictors). billed_node_hours is a month's expected use; only the estimate reads it.
  EOT
  type        = object({ size = string, min = number, max = number, billed_node_hours = number })
  default     = { size = "Standard_D4ads_v6", min = 3, max = 12, billed_node_hours = 2190 }

  validation {
    condition     = can(regex("^Standard_[A-Z]+[0-9]+[a-z]*d[a-z]*_v[0-9]+$", var.inference_pool.size))
    error_message = "The OS disk is ephemeral: take a size with a local disk, such as Standard_D4ads_v6."
  }
}

variable "node_auto_provisioning" {
  description = "Let AKS choose and make inference nodes (Karpenter) instead of the fixed inference pool with its autoscaler."
  type        = bool
  default     = false
}

variable "safeguards_level" {
  description = "Deployment safeguards: Warn reports, Enforce refuses pods below the restricted Pod Security Standard."
  type        = string
  default     = "Warn"

  validation {
    condition     = contains(["Warn", "Enforce"], var.safeguards_level)
    error_message = "safeguards_level is Warn or Enforce."
  }
}

variable "network_observability" {
  description = "Advanced container networking: flow logs and FQDN egress filtering. Billed per node-hour."
  type        = bool
  default     = false
}

# What it uses.

variable "registry_sku" {
  description = "Premium has private endpoints, zone redundancy and retention; Basic is enough for a trial."
  type        = string
  default     = "Premium"

  validation {
    condition     = contains(["Basic", "Standard", "Premium"], var.registry_sku)
    error_message = "registry_sku is Basic, Standard or Premium."
  }
}

variable "managed_redis" {
  description = "Azure Managed Redis, or null to use the Redis that the manifests bring. Balanced_B0 holds 0.5 GB: two million cached texts."
  type        = object({ sku = string, high_availability = bool, clustering_policy = optional(string, "OSSCluster") })
  default     = { sku = "Balanced_B0", high_availability = true }

  validation {
    condition     = contains(["OSSCluster", "EnterpriseCluster", "NoCluster"], try(var.managed_redis.clustering_policy, "OSSCluster"))
    error_message = "clustering_policy is OSSCluster, EnterpriseCluster or NoCluster."
  }
}

variable "storage_replication" {
  description = "Replication of the model account."
  type        = string
  default     = "ZRS"
}

# Name and certificate.

variable "domain" {
  description = "DNS zone to create; the service answers at <name>.<namespace>.<domain>."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain is a DNS name such as ml.example.com."
  }
}

variable "certificate_issuer" {
  description = "letsencrypt and letsencrypt-staging need the zone delegated to Azure; private-ca needs nothing, and clients must trust its root."
  type        = string
  default     = "letsencrypt"

  validation {
    condition     = contains(["letsencrypt", "letsencrypt-staging", "private-ca"], var.certificate_issuer)
    error_message = "certificate_issuer is letsencrypt, letsencrypt-staging or private-ca."
  }
}

variable "contact_email" {
  description = "Gets budget alerts and certificate notices."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+$", var.contact_email))
    error_message = "contact_email is an e-mail address."
  }
}

# Watching it.

variable "managed_prometheus" {
  description = "Azure Monitor managed Prometheus and Grafana; otherwise the platform installs kube-prometheus-stack."
  type        = bool
  default     = true
}

variable "container_logs" {
  description = "Ship container logs to Log Analytics (billed per GB); the audit log goes there in any case."
  type        = bool
  default     = true
}

variable "log_daily_quota_gb" {
  description = "Log Analytics stops taking data at this many GB a day."
  type        = number
  default     = 5
}

variable "expected_use" {
  description = "Logs and metric samples expected in a month; only the estimate reads it."
  type        = object({ log_gb = number, prometheus_samples_10m = number })
  default     = { log_gb = 30, prometheus_samples_10m = 260 }
}

variable "budget_usd" {
  description = "Monthly budget that raises alerts; null takes the estimate plus a quarter."
  type        = number
  default     = null
}
