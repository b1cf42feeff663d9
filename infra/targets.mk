# Infrastructure: `make up ENV=dev` from an empty subscription to an answer, `make down ENV=dev` back.

ENV ?= dev
INFRA_OFFLINE = PYTHONPATH=tests $(PY) -m infra.offline.workspace

.PHONY: up down kind-up kind-down infra-schema infra-lint infra-test infra-cost

up: ## Azure, images, platform, manifests, smoke for ENV (dev); shows plan and price first, CONFIRM=yes skips the question
	infra/up.sh $(ENV)

down: ## Remove ENV and all it costs; asks first
	infra/down.sh $(ENV)

kind-up: ## A kind cluster on this machine with KServe, the images, the service and a first prediction (docker, kind; ten minutes)
	infra/kind.sh up

kind-down: ## Remove that cluster
	infra/kind.sh down

infra-schema: $(VENV)/.dev ## The azurerm provider's schema, from its pinned Python bindings (45 MB, once)
	PYTHONPATH=tests $(PY) -m infra.offline.schema

infra-lint: $(VENV)/.dev $(TOOLS)/.stamp ## Format, schema, shell scripts and checkov of infra/
	terraform fmt -check -recursive infra
	$(INFRA_OFFLINE) validate prod
	$(VENV)/bin/shellcheck -x -P SCRIPTDIR infra/*.sh infra/platform/*.sh
	$(TOOLS)/bin/checkov -d infra --framework terraform --quiet --compact --skip-download --var-file infra/environments/prod.tfvars

infra-test: $(VENV)/.dev ## Terraform's own tests for dev and prod, with a mocked provider
	$(INFRA_OFFLINE) test dev
	$(INFRA_OFFLINE) test prod

infra-cost: $(VENV)/.dev ## What a month of ENV costs, line by line
	@$(INFRA_OFFLINE) cost $(ENV)
