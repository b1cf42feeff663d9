# The account, container and key come from `-backend-config` (up.sh makes the account, README says how by hand).
terraform {
  backend "azurerm" {
    use_azuread_auth = true
  }
}
