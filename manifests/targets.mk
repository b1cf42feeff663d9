MANIFESTS := manifests

.PHONY: render images images-check images-platforms base-digest lint-manifests

render:  ## write manifests/install.yaml, what `kubectl apply -f manifests` applies
	kubectl kustomize $(MANIFESTS) > $(MANIFESTS)/install.yaml.new
	mv $(MANIFESTS)/install.yaml.new $(MANIFESTS)/install.yaml

images:  ## build both images with docker or buildah (REGISTRY=, TAG=, MODEL_DIR=)
	$(MANIFESTS)/images/build.sh

images-check: $(VENV)/.dev  ## build both images on a stand-in base, measure their size, run them read-only, send requests (root, buildah, debootstrap)
	$(PY) $(MANIFESTS)/images/check.py

images-platforms: $(VENV)/.dev $(TOOLS)/.stamp  ## resolve what the images install for amd64 and arm64: the pinned versions, from wheels (network)
	$(PY) -m manifests.images.platforms $(TOOLS)/bin/uv

base-digest:  ## pin the images' base to the digest it has now, in manifests/images/images.env (docker or skopeo, network)
	$(MANIFESTS)/images/pin-base.sh

lint: lint-manifests
lint-manifests: $(VENV)/.dev $(TOOLS)/.stamp  ## hadolint for the Dockerfiles, checkov for what the manifests render to
	$(VENV)/bin/hadolint Dockerfile.predictor Dockerfile.transformer
	$(PY) tests/manifests/checkov_scan.py
