bench-transformer: $(VENV)/.dev  ## start and size, cost of metrics and of a secret, hits, hit-ratio curve, faults of Redis
	$(PY) load/bench/transformer_start.py
	$(PY) load/bench/metrics_cost.py
	$(PY) load/bench/transformer_hits.py
	$(PY) load/bench/transformer_cluster.py
	$(PY) load/bench/seal_cost.py
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(PY) load/bench/transformer_curve.py --model build/base-random
	$(PY) load/bench/transformer_faults.py

AGAINST = build/against/$(shell git rev-parse --short "$(BASE)^{commit}" 2>/dev/null)

bench-against: $(VENV)/.dev  ## CPU time of hits and misses, compared with another commit: BASE=main
	@git rev-parse --quiet --verify "$(BASE)^{commit}" >/dev/null || { echo "BASE= has to name a commit" >&2; exit 1; }
	test -d $(AGAINST) || git worktree add --quiet --force --detach $(AGAINST) "$(BASE)"
	$(PY) -m load.bench.against --base $(AGAINST) $(ARGS)

bench-hot-texts: $(VENV)/.dev  ## forwards and waits when hot entries expire: four transformers, a predictor of base size (4 minutes)
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(PY) load/bench/hot_texts.py --model build/base-random $(ARGS)

.PHONY: bench-transformer bench-against bench-hot-texts
