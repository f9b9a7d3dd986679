# Everything that a developer or a newcomer does with this checkout. `make` alone says what there is.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/.ready
WIRE   := $(wildcard controller/containerd/wire/*.proto controller/agent/checks/wire/*.proto)
JOBS   ?= auto

.PHONY: help
help: ## Show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: $(READY) ## Start everything on this machine and run a first container
	@$(BIN)/python -m hack.lab up

.PHONY: down
down: ## Stop and remove everything that `make up` started
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m hack.lab down; else $(PYTHON) -m hack.lab down; fi

.PHONY: status
status: $(READY) ## Show what of it runs
	@$(BIN)/python -m hack.lab status

.PHONY: test
test: lint unit chart integration e2e ## Run every check and every test

.PHONY: lint
lint: $(READY) ## Check style, types, imports and generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m hack.generate --check

.PHONY: unit
unit: $(READY) ## Test what is pure
	$(BIN)/pytest tests/unit -n $(JOBS) --timeout 60

.PHONY: parts
parts: $(READY) ## Fetch or build the real parts that tests and bench run against
	@$(BIN)/python -m hack.lab fetch

.PHONY: chart
chart: $(READY) ## Test the Helm chart: lint, schemas, what its values come to
	$(BIN)/pytest tests/chart -n $(JOBS) --timeout 60

.PHONY: integration
integration: parts ## Test against real containerds (1.6, 1.7, 2.x) and a real registry
	$(BIN)/pytest tests/integration

.PHONY: e2e
e2e: parts ## Test the whole: agent, containerd, kube-apiserver, kubectl
	$(BIN)/pytest tests/e2e

.PHONY: bench
bench: parts ## Measure speed and cost beside raw containerd
	$(BIN)/python -m bench

.PHONY: format
format: $(READY) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: generate
generate: $(READY) ## Write the CRDs and the reference tables anew from the models
	$(BIN)/python -m hack.generate

.PHONY: lock
lock: $(READY) ## Write the lock files anew from pyproject.toml
	$(BIN)/uv pip compile -q pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header -o requirements-dev.lock
	$(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header -o requirements.lock

.PHONY: image
image: ## Build the agent's image
	version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml); \
	docker build -t "tallyman:$$version" --build-arg VERSION="$$version" --build-arg REVISION="$$(git rev-parse HEAD)" \
	  --build-arg CREATED="$$(date -u +%Y-%m-%dT%H:%M:%SZ)" .

.PHONY: clean
clean: down ## Remove the environment and all caches of this checkout
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: locked versions, then this project itself, whose build compiles the wire definitions.
$(READY): requirements-dev.lock pyproject.toml hatch_build.py $(WIRE)
	@echo "making the Python environment in .venv"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || (apt-get update -qq && apt-get install -y -qq python3-venv)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
