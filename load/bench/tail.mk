bench-tail: $(VENV)/.dev  ## what a miss waits for while most requests hit, in MODEL_DIR= (default: base size, random weights)
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(PY) -m load.bench.tail --model $(or $(MODEL_DIR),build/base-random) $(ARGS)

.PHONY: bench-tail
