# `make` lists the targets. PYTHON starts the set-up; the environments are made with it where it is Python 3.11 to 3.13.
PYTHON ?= python3
SHELL := bash
BIN := .venv/bin

# After the set-up nothing needs the network: the embedded world's models lie in the repository.
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 DO_NOT_TRACK=1

EVALUATION := config/evaluation/config.yaml
ABLATION := results/ablation/config.yaml
DIALS := config/dials/config.yaml
CALIBRATION := config/calibration/config.yaml

.DEFAULT_GOAL := help
.PHONY: help setup vision doctor demo evaluate ablate dials calibrate bench status test test-unit test-workflow test-setup \
	test-autoencoders test-families test-browser test-slurm test-kubernetes lint locks locks-check docs \
	dockerfile-check shapeworld clean distclean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 17

setup: ## build both environments, .venv and .venv-vllm; does nothing when they are ready
	@$(PYTHON) envs/setup.py

vision: ## build .venv only
	@$(PYTHON) envs/setup.py vision

doctor: ## tell what this machine has, and what is missing: driver, GPU, disk, environments, Slurm's partitions
	@$(PYTHON) envs/doctor.py

demo: setup ## describe the units of the embedded network; prints time, memory, accuracy and where the page is
	$(OFFLINE) $(PYTHON) envs/measure.py -- $(BIN)/snakemake
	@$(OFFLINE) $(BIN)/dnd figures results/demo

evaluate: setup ## compare every method on three test networks; writes results/evaluation and docs/evaluation.md
	time $(OFFLINE) $(BIN)/dnd serve $(EVALUATION) -- \
		$(BIN)/snakemake evaluate --configfile $(EVALUATION)
	$(OFFLINE) $(BIN)/python -m studies.evaluation_docs $(EVALUATION) docs

ablate: setup ## score variants of our method, or ONLY="some of them", on the tuning networks; writes docs/ablation.md
	@$(BIN)/python -m studies.ablation config/ablation/config.yaml config/ablations.tsv results/ablation $(if $(ONLY),--only $(ONLY))
	time $(OFFLINE) $(BIN)/dnd serve $(ABLATION) -- $(BIN)/snakemake evaluate --configfile $(ABLATION)
	$(OFFLINE) $(BIN)/python -m studies.ablation_docs $(ABLATION) config/ablations.tsv docs

dials: setup ## score methods as images, units, lists, captioner and embedder get worse; writes docs/dials.md
	time $(OFFLINE) $(BIN)/dnd serve $(DIALS) -- $(BIN)/snakemake evaluate --configfile $(DIALS)
	$(OFFLINE) $(BIN)/python -m studies.dials_docs $(DIALS) config/dials/dials.tsv docs

calibrate: setup ## fit config/verdict.json on the tuning networks: how sure a label is
	time $(OFFLINE) $(BIN)/dnd serve $(CALIBRATION) -- $(BIN)/snakemake evaluate --configfile $(CALIBRATION)
	$(OFFLINE) $(BIN)/dnd fit-verdict $(CALIBRATION) config/verdict.json

status: ## tell how far a run is, CONFIG="its files", while it goes on; EVERY=30 looks again every 30 seconds
	@$(BIN)/dnd status $(CONFIG) $(if $(EVERY),--every $(EVERY))

bench: setup ## time every stage beside bare models, and the whole beside the released driver; writes docs/performance.md
	$(OFFLINE) $(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

test: test-unit test-workflow ## run the tests of the library and of the workflow

test-unit: setup ## run the tests of the library
	$(OFFLINE) $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile tests/unit

test-workflow: setup ## run the tests of the workflow
	$(OFFLINE) $(BIN)/pytest tests/workflow

test-setup: vision ## test set-up, locks and the package; asks the public index of packages
	$(BIN)/pytest tests/setup

test-autoencoders: ## hold latents of sparse autoencoders against the libraries' own
	@$(PYTHON) envs/setup.py autoencoders
	$(OFFLINE) .venv-autoencoders/bin/pytest tests/autoencoders

test-families: vision ## localise textures with networks of every family of timm and transformers (minutes)
	$(OFFLINE) $(BIN)/pytest tests/families

test-kubernetes: setup ## run the workflow on a Kubernetes cluster in miniature (minutes)
	@$(PYTHON) envs/setup.py moto
	$(OFFLINE) $(BIN)/pytest tests/kubernetes

test-browser: vision ## look at a run's site with Chromium; as root, installs it where it is missing
	@$(PYTHON) envs/setup.py browser
	@$(BIN)/python tests/browser/chromium.py ready || $(BIN)/python tests/browser/chromium.py install
	$(OFFLINE) .venv-browser/bin/pytest tests/browser

test-slurm: setup ## run the tests that want a real Slurm; as root, installs it where it is missing
	@$(BIN)/python tests/slurm/cluster.py ready || $(BIN)/python tests/slurm/cluster.py install
	$(OFFLINE) $(BIN)/pytest tests/slurm

lint: vision ## check style, types and the workflow
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/python tests/house.py
	$(BIN)/python envs/conda.py --check
	$(BIN)/snakemake --lint
	$(BIN)/snakemake -n --quiet

docs: ## make the documentation's site, in site/; fails on links and anchors that lead nowhere
	@$(PYTHON) envs/setup.py docs
	@.venv-docs/bin/python docs/build.py

dockerfile-check: ## lint the image that Kubernetes' pods are made of; locks-check resolves what it installs
	@$(PYTHON) envs/setup.py dockerfile
	.venv-dockerfile/bin/hadolint envs/Dockerfile

locks: ## resolve the environments' pins anew, against the public index
	$(PYTHON) envs/locks.py
	$(PYTHON) envs/conda.py

locks-check: ## check that locks and pins resolve against the public index alone, for every Python and platform
	$(PYTHON) envs/locks.py --check

shapeworld: vision ## train the embedded world's models anew, into resources/ (hours)
	$(OFFLINE) $(BIN)/python -m training

clean: ## remove results and caches, keep the environments
	rm -rf results logs site build .snakemake .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests workflow envs -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the environments and the training's intermediate files as well
	rm -rf .venv .venv-vllm .venv-moto .venv-browser .venv-docs .venv-dockerfile .venv-autoencoders .setup .training src/*.egg-info
