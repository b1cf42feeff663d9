bench-tail: $(VENV)/.dev  ## what a miss waits for while most requests hit, in MODEL_DIR= (default: base size, random weights)
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(PY) -m load.bench.tail --model $(or $(MODEL_DIR),build/base-random) $(ARGS)

.PHONY: bench-tail

bench-pods: $(VENV)/.dev  ## predictors of 1 and 2 CPUs, and two of 1 CPU, side by side (2 CPUs)
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(PY) load/bench/pod_sizes.py --model=build/base-random $(ARGS)

.PHONY: bench-pods
