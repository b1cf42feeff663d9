bench-predictor: $(VENV)/.dev  ## engine against the machine's peak, server against FastAPI + pipeline, overload
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(PY) load/bench/predictor_start.py --model=build/base-random
	$(PY) load/bench/predictor_engine.py --model=build/base-random
	$(PY) load/bench/predictor_server.py --model=build/base-random
	$(PY) load/bench/predictor_overload.py --model=build/base-random

bench-families: $(VENV)/.dev  ## BERT-base, RoBERTa-base, MiniLM-L6 and DistilBERT beside transformers' pipeline
	$(PY) load/bench/families.py

.PHONY: bench-predictor bench-families
