# The models: fetch, train, judge, quantise.
MODEL ?= winegarj/distilbert-base-uncased-finetuned-sst2
REVISION ?= main
SHIPPED := model-artifacts/distilbert-tiny-sst2
CHECKPOINT ?= $(SHIPPED)

.PHONY: model-fetch model-train model-evaluate model-quantize

model-fetch:  ## download MODEL at REVISION from the hub (no package needed, torch only for old checkpoints)
	$(if $(wildcard $(PY)),$(PY),$(PYTHON)) model-artifacts/fetch.py $(MODEL) --revision $(REVISION)

model-train: $(VENV)/.dev  ## train the shipped model anew; DATA=directory with SST-2's train.tsv, dev.tsv, test.tsv
	$(PY) model-artifacts/train.py --data $(or $(DATA),$(error set DATA to the directory with SST-2)) --out $(SHIPPED)

model-evaluate: $(VENV)/.dev  ## accuracy and calibration of CHECKPOINT on DATA=file.tsv
	$(PY) model-artifacts/evaluate.py --model $(CHECKPOINT) --data $(or $(DATA),$(error set DATA to a labelled .tsv))

model-quantize: $(VENV)/.dev  ## int8 copy of CHECKPOINT; DATA=directory with train.tsv (calibration) and dev.tsv (decides)
	$(PY) model-artifacts/quantize.py --model $(CHECKPOINT) --calibrate $(or $(DATA),$(error set DATA))/train.tsv \
	  --data $(DATA)/dev.tsv --out $(CHECKPOINT)-int8
