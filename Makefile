# Two commands to begin with: `make demo` and `make test`. Everything happens in .venv, which they
# make by themselves; all they need is Python 3.11 or newer with its venv module.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
FINE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(FINE)' >/dev/null 2>&1 && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export PIP_ROOT_USER_ACTION := ignore
PYTEST := $(BIN)/python -m pytest
CODE := src tests $(wildcard bench) examples

.PHONY: help demo test lint types contracts bench crash check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.run ## Post 100,000 orders, take a destination down, and check that all is true
	@$(BIN)/python examples/demo

# Three processes, because most tests wait most of the time; a file's tests stay together, in order.
test: $(VENV)/.dev ## Run the whole test suite
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev ## Check style and formatting
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(VENV)/.dev ## Check types, strictly
	$(BIN)/mypy
	$(BIN)/mypy examples/shop
	cd examples/demo && ../../$(BIN)/mypy .

contracts: $(VENV)/.dev ## Check which module may import which, and how large they may be
	$(BIN)/lint-imports
	$(PYTEST) tests/architecture

bench: $(VENV)/.dev ## Measure the budget beside its floors into docs/; ENGINE=postgres, jetstream
	ENGINE=$(ENGINE) $(BIN)/python bench/run.py

crash: $(VENV)/.dev ## Have 30 things go wrong under load, and count (ENGINE=postgres, WORKERS=3)
	BUSWAY_CRASH_ROUNDS=$${BUSWAY_CRASH_ROUNDS:-30} $(if $(WORKERS),BUSWAY_CRASH_WORKERS=$(WORKERS)) \
		$(PYTEST) -s tests/crash -k "$(or $(ENGINE),sqlite) and not $(if $(WORKERS),alone,workers)"

check: lint types contracts test ## Everything that CI does

clean: ## Remove the environment and what the demo left
	rm -rf $(VENV) .demo

# What is installed is told by stamp files: it is done again only when pyproject.toml changed.

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "no Python 3.11+ with venv found; on Debian: apt-get install python3 python3-venv" >&2; \
		exit 1; \
	fi
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "installing Busway into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing Busway and what its tests need into $(VENV)"
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --editable '.[all]' --group dev
	@touch $@ $(VENV)/.run
