bench-transformer: $(VENV)/.dev  ## start and size, cost of metrics, hits, hit-ratio curve, faults of Redis
	$(PY) load/bench/transformer_start.py
	$(PY) load/bench/metrics_cost.py
	$(PY) load/bench/transformer_hits.py
	$(PY) load/bench/transformer_cluster.py
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(PY) load/bench/transformer_curve.py --model build/base-random
	$(PY) load/bench/transformer_faults.py

.PHONY: bench-transformer
