# Faults, overload, hostile input, soak, supply chain. Included by the Makefile.
AUDIT := build/audit

chaos: $(VENV)/.dev  ## every fault under load, with a table (about 7 minutes)
	CHAOS=full $(PY) -m pytest tests/chaos -q

overload: $(VENV)/.dev  ## five times capacity for a minute: hits, shedding, memory, recovery
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(PY) tests/chaos/overload.py build/base-random

soak: $(VENV)/.dev  ## thirty minutes of load: growth of memory, descriptors and threads (ARGS=seconds)
	$(PY) tests/chaos/soak.py $(ARGS)

fuzz: $(VENV)/.dev  ## nightly: schemathesis, hypothesis, atheris; a few hundred thousand cases (about half an hour)
	FUZZ=full $(PY) -m pytest tests/fuzz -q

security: $(VENV)/.dev $(TOOLS)/.stamp  ## bandit, a search for secrets, the threat model's tests
	$(PY) -m pytest tests/security -q

audit: $(AUDIT)/.stamp  ## known vulnerabilities of every pinned dependency (asks a vulnerability service)
	$(AUDIT)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict $(ARGS)

sbom: $(AUDIT)/.stamp $(VENV)/.dev  ## results/sbom.json (CycloneDX) and results/licenses.md of what is installed
	@mkdir -p results
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o results/sbom.json $(PY)
	$(AUDIT)/bin/pip-licenses --python $(PY) --format markdown --with-urls --order license --output-file results/licenses.md
	@$(PY) tests/security/licenses.py results/sbom.json

$(AUDIT)/.stamp: tests/security/requirements-audit.txt
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.PHONY: chaos overload soak fuzz security audit sbom

parity: $(VENV)/.dev  ## how far every family, head and layout is from transformers' own scores, as a table
	@mkdir -p results
	$(PY) -m pytest --quiet --junit-xml=results/parity.xml -k "those_of_transformers or served_as" \
	  tests/model/test_families.py tests/model/test_layouts.py
	@$(PY) load/bench/parity_table.py results/parity.xml

.PHONY: parity
