locals {
  name = "sentiment-${var.environment}"

  # Registry, storage and Redis names are global: the suffix makes them unique, and is the same on every run.
  suffix       = substr(sha256("${var.subscription_id}/${local.name}"), 0, 6)
  compact_name = "sentiment${var.environment}${local.suffix}"

  tags = {
    application = "sentiment"
    environment = var.environment
    managed-by  = "terraform"
  }

  # Terraform and the scripts read versions from the same file.
  versions = {
    for line in split("\n", file("${path.module}/platform/versions.env")) :
    split("=", line)[0] => split("=", line)[1] if can(regex("^[A-Z_]+=", line))
  }
}

resource "azurerm_resource_group" "this" {
  name     = "rg-${local.name}"
  location = var.location
  tags     = local.tags
}
