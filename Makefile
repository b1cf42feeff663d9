# The commands that people run. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
TOOLS := .tools
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
# Where the CPU build of torch comes from, if not from the default index: see README, "PyTorch".
TORCH_INDEX ?=
PIP_INSTALL := install --quiet --disable-pip-version-check --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))


# tritonclient and kserve each register the protocol's messages: one process cannot hold both.
OTHER_STUBS := tests/fuzz/test_foreign_clients.py
# Needs a running cluster: make cluster, then make cluster-test.
ON_A_CLUSTER := tests/cluster
# Tests that neither generate load nor measure time may run in parallel.
SIDE_BY_SIDE := tests/unit tests/docs tests/manifests tests/infra tests/model tests/e2e tests/security
PYTEST := $(PY) -m pytest --ignore=$(ON_A_CLUSTER)

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-22s %s\n", $$1, $$2}'

run: $(VENV)/.run  ## serve on http://localhost:8080: Redis, predictor, transformer; Ctrl-C ends all
	@$(PY) local/stack.py

test: $(VENV)/.dev $(TOOLS)/.stamp  ## every test; ARGS="-k name" for some
ifdef ARGS
	$(PYTEST) --ignore=$(OTHER_STUBS) $(ARGS)
else
	@# Every part runs, whatever the one before it found.
	failed=0; \
	$(PYTEST) --ignore=$(OTHER_STUBS) $(addprefix --ignore=,$(SIDE_BY_SIDE)) || failed=1; \
	$(PYTEST) --numprocesses=2 --dist=loadfile $(SIDE_BY_SIDE) || failed=1; \
	$(PYTEST) $(OTHER_STUBS) || failed=1; \
	exit $$failed
endif

lint: lint-python infra-lint lint-manifests lint-workflows  ## all static checks
	$(VENV)/bin/shellcheck -x -P SCRIPTDIR $$(git ls-files '*.sh' .ci/run .ci/changelog)
	$(VENV)/bin/yamllint --strict .

lint-python: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Where Go is installed, and always in CI.
lint-workflows: $(VENV)/.dev
	@if command -v go >/dev/null || [ "$${CI:-}" = true ]; then \
	  GOFLAGS=-mod=mod go run $(ACTIONLINT) -shellcheck $(VENV)/bin/shellcheck -color; \
	else echo "no go: the workflows are not checked"; fi

format: $(VENV)/.dev  ## format the code
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .

constraints:  ## regenerate constraints.txt from pyproject.toml, newest versions that fit
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) '.[dev]'
	{ echo '# Every version that is installed, for people, images and CI alike. Refresh: make constraints'; \
	  build/constraints/bin/pip list --format=freeze | grep -vE '^(pip|sentiment-kserve)==' | sed 's/+cpu$$//' | tr 'A-Z_' 'a-z-'; } > constraints.txt

clean:  ## remove everything that was built here
	rm -rf $(VENV) $(TOOLS) build dist .cache .pytest_cache .mypy_cache .ruff_cache results

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "installing what the two services need (about 700 MB; a minute or two, once)"
	@$(VENV)/bin/pip $(PIP_INSTALL) --editable '.[run]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "installing what tests and training need (PyTorch included; a few minutes, once)"
	@$(VENV)/bin/pip $(PIP_INSTALL) --editable '.[dev]'
	@# xds-protos (Envoy's messages, for a test) brings old copies of OpenTelemetry's: the real ones go in last.
	@$(VENV)/bin/pip $(PIP_INSTALL) --force-reinstall --no-deps opentelemetry-proto
	@touch $@ $(VENV)/.run

# checkov needs old versions of libraries that the project uses: it gets an environment of its own.
$(TOOLS)/.stamp: requirements-tools.txt
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check --requirement requirements-tools.txt
	@touch $@

.PHONY: help run test lint lint-python lint-workflows format constraints clean

include $(wildcard */targets.mk load/bench/*.mk)
