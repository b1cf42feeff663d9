# Load tests and capacity planning. Settings of a scenario are variables: make load SCENARIO=cache_mix RATE=100 HIT_RATE=0.9
SCENARIO ?= smoke
LOAD_RESULTS ?= results/load
# What calibrate measured; the committed file describes the machine named in load/README.md.
TIMES ?= load/reports/service_times.json

load: $(VENV)/.dev  ## run a k6 scenario: SCENARIO=smoke URL=http://localhost:8080, settings as variables (load/README.md)
	$(PY) -m load.run $(SCENARIO) --results $(LOAD_RESULTS) $(ARGS)

load-report: $(VENV)/.dev  ## gather the runs in results/load into one page with plots
	$(PY) -m load.report $(LOAD_RESULTS) --out results/load-report

load-testrun: $(VENV)/.dev  ## print a scenario for the k6 operator: SCENARIO= URL=, pipe into kubectl apply -f -
	@$(PY) -m load.testrun $(SCENARIO) --url $(URL) $(ARGS)

load-calibrate: $(VENV)/.dev  ## measure service times on the local stack, with the curve's check points (6 minutes)
	$(PY) -m load.capacity calibrate --check --out results/capacity/service_times.json $(ARGS)

load-curve: $(VENV)/.dev  ## hit-ratio curve: requests/s, p99 and cost per million, from TIMES=
	$(PY) -m load.capacity curve --times $(TIMES) $(ARGS)

load-simulate: $(VENV)/.dev  ## simulate autoscaling: ARGS="--profile spike --peak 400 --scale-target 4"
	$(PY) -m load.capacity simulate --times $(TIMES) $(ARGS)

load-recommend: $(VENV)/.dev  ## recommend scaleTarget, minReplicas and burst capacity for an SLO: ARGS="--p99-ms 300"
	$(PY) -m load.capacity recommend --times $(TIMES) $(ARGS)

load-pods: $(VENV)/.dev  ## which size of predictor pod is cheapest for a p99, from TIMES=
	$(PY) -m load.capacity pods --times $(TIMES) $(ARGS)

load-validate: $(VENV)/.dev  ## compare predictions with 1, 2, 4 throttled predictors (root: makes cgroups; 12 minutes)
	$(PY) -m load.capacity validate $(ARGS)

# Which cluster: by default the one of `make cluster`, whose node answers at these addresses.
CLUSTER ?= --kubeconfig build/single-node/kubeconfig --url https://10.213.1.1 --host sentiment.sentiment.single-node.test

# Runs a command where it can call pods past the gateway; network policies block everyone else.
WITHIN ?= $(PY) infra/single-node/node.py within

load-autoscaling: $(VENV)/.dev  ## compare the simulator with a cluster's own autoscaler on one spike (10 minutes; CLUSTER= says which)
	$(PY) -m load.capacity autoscaling $(CLUSTER) --times $(TIMES) $(ARGS)

load-route: $(VENV)/.dev  ## what gateway and queue-proxy add to hits and misses, against the stack without a cluster
	$(WITHIN) $(PY) -m load.capacity route $(CLUSTER) $(ARGS)

load-reports: $(VENV)/.dev  ## measure load/reports again (45 minutes on a quiet machine; root for the throttled part)
	$(PY) -m load.campaign $(ARGS)

.PHONY: load load-report load-testrun load-calibrate load-curve load-simulate load-recommend load-pods load-validate load-autoscaling load-route load-reports
