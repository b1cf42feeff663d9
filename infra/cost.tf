# What a month costs, from prices/azure.csv and the variables alone: known at plan time, before anything exists.

locals {
  price = { for row in csvdecode(file("${path.module}/prices/azure.csv")) : "${row.key}/${row.location}" => row }

  private_link_count = var.private_endpoints ? (var.managed_redis == null ? 2 : 3) : 0
  node_hours = {
    system   = { size = var.system_pool.size, hours = var.system_pool.min * 730 }
    platform = { size = try(var.platform_pool.size, var.system_pool.size), hours = try(var.platform_pool.min, 0) * 730 }
    # The pool bills at least its minimum.
    inference = { size = var.inference_pool.size, hours = max(var.inference_pool.billed_node_hours, var.inference_pool.min * 730) }
  }

  used = concat(
    [for pool, node in local.node_hours : { what = "${pool} nodes, ${node.size}", key = node.size, quantity = node.hours }],
    [
      { what = "AKS control plane, Standard tier", key = "aks_standard", quantity = var.sku_tier == "Standard" ? 730 : 0 },
      { what = "load balancer, first five rules", key = "load_balancer", quantity = 730 },
      { what = "public addresses", key = "public_ip", quantity = 730 * 2 },
      { what = "NAT gateway", key = "nat_gateway", quantity = var.outbound == "userAssignedNATGateway" ? 730 : 0 },
      { what = "registry, ${var.registry_sku}", key = "registry_${lower(var.registry_sku)}", quantity = 30.42 },
      { what = "managed Redis, ${try(var.managed_redis.sku, "none")}", key = "redis_${lower(try(var.managed_redis.sku, "none"))}", quantity = var.managed_redis == null ? 0 : 1 },
      { what = "private endpoints", key = "private_endpoint", quantity = 730 * local.private_link_count },
      { what = "DNS zones", key = "dns_zone", quantity = 1 + local.private_link_count },
      { what = "model storage, GB", key = "blob_zrs", quantity = 1 },
      { what = "logs over the free 5 GB", key = "log_analytics", quantity = max(var.expected_use.log_gb - 5, 0) },
      { what = "Prometheus, 10 M samples", key = "prometheus_samples_10m", quantity = var.managed_prometheus ? var.expected_use.prometheus_samples_10m : 0 },
      { what = "Grafana, instance and one user", key = "grafana_standard", quantity = var.managed_prometheus ? 1 : 0 },
    ],
  )

  cost_lines = [
    for line in local.used : merge(line, {
      price = try(local.price["${line.key}/${var.location}"], local.price["${line.key}/any"], null)
    }) if line.quantity > 0
  ]
  unpriced    = [for line in local.cost_lines : line.what if line.price == null]
  monthly_usd = sum([for line in local.cost_lines : line.quantity * tonumber(line.price.usd) if line.price != null])

  cost_report = join("\n", concat(
    [format("%-38s %9s  %-12s %9s %10s", "monthly cost of ${var.environment}", "quantity", "unit", "USD each", "USD")],
    [
      for line in local.cost_lines : line.price == null
      ? format("%-38s %9.1f  no price for %s", line.what, line.quantity, var.location)
      : format("%-38s %9.1f  %-12s %9.4f %10.2f", line.what, line.quantity, line.price.unit, tonumber(line.price.usd), line.quantity * tonumber(line.price.usd))
    ],
    [format("%-38s %9s  %-12s %9s %10.2f", "total", "", "", "", local.monthly_usd)],
  ))
}

check "every_line_has_a_price" {
  assert {
    condition     = length(local.unpriced) == 0
    error_message = "The estimate leaves out ${join(", ", local.unpriced)}: add ${var.location} to prices/azure.csv."
  }
}

# Nodes live in a resource group of their own, so the budget watches the subscription, narrowed to both groups.
resource "azurerm_consumption_budget_subscription" "this" {
  name            = "budget-${local.name}"
  subscription_id = "/subscriptions/${var.subscription_id}"
  amount          = coalesce(var.budget_usd, ceil(local.monthly_usd * 1.25))
  time_grain      = "Monthly"

  time_period {
    start_date = formatdate("YYYY-MM-01'T'00:00:00Z", plantimestamp())
  }

  filter {
    dimension {
      name     = "ResourceGroupName"
      operator = "In"
      values   = [azurerm_resource_group.this.name, "rg-${local.name}-nodes"]
    }
  }

  notification {
    operator       = "GreaterThanOrEqualTo"
    threshold      = 80
    threshold_type = "Actual"
    contact_emails = [var.contact_email]
  }

  notification {
    operator       = "GreaterThanOrEqualTo"
    threshold      = 100
    threshold_type = "Forecasted"
    contact_emails = [var.contact_email]
  }

  lifecycle {
    ignore_changes = [time_period] # the first month stays the first month
  }
}
