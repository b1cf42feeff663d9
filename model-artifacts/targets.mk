# The models: fetch, train, evaluate, quantise.
MODEL ?= winegarj/distilbert-base-uncased-finetuned-sst2
REVISION ?= main
SHIPPED := model-artifacts/distilbert-tiny-sst2
CHECKPOINT ?= $(SHIPPED)

.PHONY: model-fetch model-train model-evaluate quantize

model-fetch:  ## download MODEL at REVISION from the hub (no package needed, torch only for old checkpoints)
	$(if $(wildcard $(PY)),$(PY),$(PYTHON)) model-artifacts/fetch.py $(MODEL) --revision $(REVISION)

model-train: $(VENV)/.dev  ## train the shipped model again; DATA=directory with SST-2's train.tsv, dev.tsv, test.tsv
	$(PY) model-artifacts/train.py --data $(or $(DATA),$(error set DATA to the directory with SST-2)) --out $(SHIPPED)

model-evaluate: $(VENV)/.dev  ## accuracy and calibration of CHECKPOINT on DATA=file.tsv
	$(PY) model-artifacts/evaluate.py --model $(CHECKPOINT) --data $(or $(DATA),$(error set DATA to a labelled .tsv))

# A hub id is fetched first; a directory is taken as it is.
QUANTISED := $(if $(wildcard $(MODEL)/config.json),$(MODEL),model-artifacts/$(notdir $(MODEL)))
quantize: $(VENV)/.dev  ## int8 copy of MODEL (a directory, or a hub id at REVISION) calibrated on your TEXTS=file, refused if it costs accuracy; report beside it
	$(if $(TEXTS),,$(error set TEXTS to a file of your texts: one per line, or label, tab and text))
	$(if $(wildcard $(MODEL)/config.json),,$(PY) model-artifacts/fetch.py $(MODEL) --revision $(REVISION))
	$(PY) model-artifacts/quantize.py --model $(QUANTISED) --texts $(TEXTS) --out $(QUANTISED)-int8 $(ARGS)
