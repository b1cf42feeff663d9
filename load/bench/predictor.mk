# With random weights there is no accuracy to protect: every gate is wide open.
QUANTISE_BASE = test -d build/base-random-int8 || $(PY) model-artifacts/quantize.py --model build/base-random \
  --calibrate load/bench/sst2_sample.tsv --data load/bench/sst2_sample.tsv --count 128 \
  --out build/base-random-int8 --recipes 1 --points 100 --flips 1 --change 1

bench-predictor: $(VENV)/.dev  ## engine against the machine's peak, server against FastAPI + pipeline, overload
	$(PY) load/bench/random_checkpoint.py build/base-random
	$(QUANTISE_BASE)
	$(PY) load/bench/predictor_start.py --model=build/base-random
	$(PY) load/bench/predictor_engine.py --model=build/base-random --int8=build/base-random-int8
	$(PY) load/bench/predictor_server.py --model=build/base-random --int8=build/base-random-int8
	$(PY) load/bench/predictor_overload.py --model=build/base-random

bench-families: $(VENV)/.dev  ## BERT-base, RoBERTa-base, MiniLM-L6 and DistilBERT beside transformers' pipeline; XLM-RoBERTa's start
	$(PY) load/bench/families.py $(ARGS)
	$(PY) load/bench/families.py --models xlm-roberta-base --write build/xlm-roberta-random
	$(PY) load/bench/predictor_start.py --model=build/xlm-roberta-random --rounds 3

.PHONY: bench-predictor bench-families
