bench-peers: $(VENV)/.dev  ## this service beside FastAPI, KServe's SDK and LitServe with a pipeline; report in load/reports/peers (20 minutes)
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(QUANTISE_BASE)
	$(PY) -m load.bench.peers --model build/base-random --int8 build/base-random-int8 $(ARGS)

.PHONY: bench-peers
