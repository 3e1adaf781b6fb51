# Everything a newcomer needs: `make demo`, `make test`. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The first Python that is 3.11 to 3.13 and can make virtual environments.
PYTHON := $(shell for p in python3 python3.11 python3.12 python3.13; do \
	if $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then echo $$p; break; fi; done)
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup demo test test-unit test-integration quality format bench verdict cluster-test faults up down clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 26

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then echo "ktrdr needs Python 3.11, 3.12 or 3.13 with the venv module; none was found on the PATH (on Debian: apt install python3 python3-venv)." >&2; exit 1; fi
	@echo "Creating $(VENV) with $$($(PYTHON) --version)" >&2
	@$(PYTHON) -m venv $(VENV)

# torch first: with TORCH_INDEX set to a CPU wheel index, CUDA's gigabytes stay away.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing torch (set TORCH_INDEX to a CPU wheel index to avoid the CUDA packages) ..." >&2
	@$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0 -c constraints.txt
	@echo "Installing ktrdr ..." >&2
	@$(PIP) install -e . -c constraints.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the tools for tests ..." >&2
	@$(PIP) install -e '.[dev]' -c constraints.txt
	@touch $@

setup: $(VENV)/.installed-dev ## make .venv and install everything, tests' tools included

demo: $(VENV)/.installed ## research "find a momentum edge in EURUSD", offline, on bundled bars
	@$(BIN)/ktrdr research "find a momentum edge in EURUSD" --designer offline --follow; code=$$?; \
	if [ $$code -eq 4 ]; then echo "(a gate said no: an honest end)"; exit 0; fi; exit $$code

test: $(VENV)/.installed-dev ## the suite with coverage; tests of faults run with test-integration and faults
	@$(BIN)/coverage erase
	$(PYTEST) -n 2 --dist worksteal --cov --cov-report= --ignore=tests/acceptance/test_faults.py
	$(BIN)/coverage report --fail-under=80
	$(BIN)/coverage report --include='ktrdr/strategy/*' --fail-under=90

test-unit: $(VENV)/.installed-dev ## without torch and processes, under 30 s
	$(PYTEST) tests/unit tests/properties tests/test_extensions.py -m "not torch and not process"

test-integration: $(VENV)/.installed-dev ## real processes, sockets and signals
	$(PYTEST) tests/contracts tests/acceptance tests/test_docs.py tests/test_house.py

quality: $(VENV)/.installed-dev ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv-bench/.installed: bench/requirements.txt | $(BIN)/python
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip --disable-pip-version-check --quiet install -r bench/requirements.txt
	@touch $@

bench: $(VENV)/.installed .venv-bench/.installed ## measure our claims against peers, in one run
	@for f in $(filter-out bench/null_campaigns.py,$(wildcard bench/*.py)); do echo "== $$f"; PYTHONPATH=. .venv-bench/bin/python $$f || exit 1; done
	@echo "== bench/learning/training.py"; $(BIN)/python -m bench.learning.training

verdict: $(VENV)/.installed ## measure how often luck and how often an edge is promoted (ten minutes)
	PYTHONPATH=. $(BIN)/python bench/null_campaigns.py

$(VENV)/.installed-cluster: $(VENV)/.installed-dev
	@$(PIP) install -e '.[cluster]' 'moto[server]>=5.2,<6' -c constraints.txt
	@touch $@

cluster-test: $(VENV)/.installed-cluster ## a Ray cluster on this machine: the contract of engines, work and faults (half an hour)
	$(PYTEST) tests/contracts tests/unit/stores tests/cluster -m cluster

faults: $(VENV)/.installed ## measure cancel, crash and recovery times
	$(BIN)/python -m bench.operations all

up: $(VENV)/.installed ## start the local backend
	@$(BIN)/ktrdr up

down: ## stop the local backend
	@if [ -x $(BIN)/ktrdr ]; then $(BIN)/ktrdr down; fi

clean: down ## stop the backend and remove what was installed
	rm -rf $(VENV) .venv-bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
