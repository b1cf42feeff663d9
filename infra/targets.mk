# Infrastructure: `make up ENV=dev` from an empty subscription to an answer, `make down ENV=dev` back.

ENV ?= dev
INFRA_OFFLINE = PYTHONPATH=tests $(PY) -m infra.offline.workspace

.PHONY: up down kind-up kind-down infra-schema infra-lint infra-test infra-cost

up: ## Azure, images, platform, manifests, smoke for ENV (dev); shows plan and price first, CONFIRM=yes skips the question
	infra/up.sh $(ENV)

down: ## Remove ENV and everything in it that costs money; asks first
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

SINGLE_NODE := infra/single-node

.PHONY: cluster cluster-down cluster-status cluster-test cluster-table cluster-e2e

cluster: $(VENV)/.dev ## A real single-node Kubernetes here, compiled from Go modules (Linux, root, Go; first build half an hour)
	@$(PY) $(SINGLE_NODE)/build.py
	@$(PY) $(SINGLE_NODE)/node.py up
	@# In parallel: one of them mostly waits for controllers.
	@$(PY) $(SINGLE_NODE)/service_images.py & images=$$!; installed=0; \
	  $(PY) $(SINGLE_NODE)/install.py || installed=$$?; wait $$images; exit $$installed

cluster-down: $(VENV)/.dev ## Stop that cluster and remove every trace of it; what was compiled stays
	@$(PY) $(SINGLE_NODE)/node.py down

cluster-status: $(VENV)/.dev ## That cluster's programs, memory and pods
	@$(PY) $(SINGLE_NODE)/node.py status

cluster-table: $(VENV)/.dev ## What each controller of that cluster created for the InferenceService
	@$(PY) $(SINGLE_NODE)/table.py

cluster-e2e: $(VENV)/.dev ## The service on that cluster: every check of `make e2e`, in a quarter of an hour; removes what it applied
	PYTHONPATH=.:tests $(PY) -u -m e2e.run --overlay local --one-node --kubeconfig build/single-node/kubeconfig $(ARGS)

cluster-test: $(VENV)/.dev ## Test what a node must do, on that cluster and on a second one beside it
	$(PY) -m pytest tests/cluster -q
