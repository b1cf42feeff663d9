terraform {
  required_version = ">= 1.9"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.10"
    }
  }
}

provider "azurerm" {
  subscription_id     = var.subscription_id
  storage_use_azuread = true # the state and the model account refuse shared keys

  # The provider registers nothing by itself since 5.0; an empty subscription has none of these.
  resource_providers_to_register = [
    "Microsoft.AlertsManagement",
    "Microsoft.Cache",
    "Microsoft.Compute",
    "Microsoft.Consumption",
    "Microsoft.ContainerRegistry",
    "Microsoft.ContainerService",
    "Microsoft.Dashboard",
    "Microsoft.Insights",
    "Microsoft.ManagedIdentity",
    "Microsoft.Monitor",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.PolicyInsights",
    "Microsoft.Storage",
  ]

  features {
    resource_group {
      # Azure adds collection rules of its own next to ours, and `make down` must be able to finish.
      prevent_deletion_if_contains_resources = false
    }
  }
}
