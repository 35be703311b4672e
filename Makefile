# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
# Without a finder new packages are found at once; setuptools would warn of that in 12 lines.
PIP_INSTALL := PYTHONWARNINGS='ignore:Compat editable installs' $(BIN)/pip install --quiet \
	--constraint constraints.txt --config-settings editable_mode=compat

.PHONY: help setup base peers check fix test torture demo bench image
help: ## what can be made
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/second-reader: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.complete: $(BIN)/second-reader
	$(PIP_INSTALL) --editable '.[test,torch,hsm,postgres]'
	@touch $@

base: $(BIN)/second-reader ## the service alone, without torch

peers: ## the other systems that the tests talk to (Debian packages)
	scripts/install-peers

setup: $(VENV)/.complete peers ## everything for development

check: $(VENV)/.complete ## the static gate
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.complete ## repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup ## all tests, with the real peers
	$(BIN)/pytest

torture: setup ## the long suites, or one: SUITE=power-loss TRIALS=50; goes on where it was stopped
	$(BIN)/python -m tests.torture.manifest $(or $(SUITE),all) $(TRIALS)

demo: base ## one study through the whole service on this machine
	$(BIN)/second-reader demo

bench: setup ## the measured table
	$(BIN)/python -m benchmarks

image: ## container images without and with torch
	docker build --target service --tag second-reader .
	docker build --target service-torch --tag second-reader:torch .
