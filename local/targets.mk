demo: $(VENV)/.run  ## the README's request and a few seconds of load, as a table; URL=http://... for a running service
	@$(PY) -m local.demo $(URL)

docs: $(VENV)/.dev  ## write the tables of settings and metrics into the services' READMEs
	$(PY) -m local.docs

dashboards: $(VENV)/.dev  ## regenerate the Grafana dashboards and Prometheus rules
	$(PY) -m manifests.components.monitoring.generate

dashboards-preview: $(VENV)/.dev  ## draw every dashboard panel from a real run into build/dashboards.html (needs prometheus)
	@$(PY) -m local.preview

.PHONY: demo docs dashboards dashboards-preview

e2e: $(VENV)/.dev  ## install on the cluster of your kubeconfig, check, remove; ARGS="--overlay dev --set registry=..."
	PYTHONPATH=.:tests $(PY) -m e2e.run $(ARGS)

.PHONY: e2e
