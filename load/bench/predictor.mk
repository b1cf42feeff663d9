bench-predictor: $(VENV)/.dev  ## engine against the machine's peak, server against FastAPI + pipeline, overload
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(PY) load/bench/predictor_start.py --model=build/base-random
	$(PY) load/bench/predictor_engine.py --model=build/base-random
	$(PY) load/bench/predictor_server.py --model=build/base-random
	$(PY) load/bench/predictor_overload.py --model=build/base-random

.PHONY: bench-predictor
