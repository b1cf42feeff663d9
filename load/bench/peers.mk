bench-peers: $(VENV)/.dev  ## this service beside FastAPI, KServe's SDK and LitServe with a pipeline; report in load/reports/peers (20 minutes)
	$(PY) load/bench/random_checkpoint.py build/base-random
	test -d build/base-random-int8 || $(PY) model-artifacts/quantize.py --model build/base-random \
	  --calibrate load/bench/sst2_sample.tsv --data load/bench/sst2_sample.tsv --out build/base-random-int8 --recipes 1 --points 100 --flips 1
	$(PY) -m load.bench.peers --model build/base-random --int8 build/base-random-int8 $(ARGS)

.PHONY: bench-peers
