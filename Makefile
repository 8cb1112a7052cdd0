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
PIP := PYTHONUNBUFFERED=1 $(BIN)/python -m pip --disable-pip-version-check
export PIP_ROOT_USER_ACTION := ignore
PYTEST := $(BIN)/python -m pytest
CODE := src tests $(wildcard bench) examples

# What hundreds of processes import is compiled once, also where the environment says otherwise.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test thorough lint types contracts bench crash check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.run ## Post 100,000 orders, take a destination down, and check that all is true
	@$(BIN)/python examples/demo

# Three processes, because most tests wait most of the time; a file's tests stay together, in order.
test: $(VENV)/.dev ## Run the whole test suite
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder

thorough: $(VENV)/.dev ## Try each property with 20 times as many random examples
	BUSWAY_TEST_EFFORT=$${BUSWAY_TEST_EFFORT:-20} $(PYTEST) -n 3 tests/property \
		tests/integration/engine/test_jetstream_model.py

lint: $(VENV)/.dev ## Check style and formatting
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(VENV)/.dev ## Check types, strictly
	$(BIN)/mypy
	$(BIN)/mypy examples/shop
	$(BIN)/mypy examples/webhook
	cd examples/demo && ../../$(BIN)/mypy .
	cd examples/extension && ../../$(BIN)/mypy --strict .

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

# Shows how far pip is: one line that changes on a terminal, elsewhere a line now and then.
define PROGRESS
{ count=0; last=-5; while read -r word what _; do \
	case "$$word $$what" in \
		Collecting*) count=$$((count + 1)); what="$$count packages: $${what%%[<>=!~;[(]*}" ;; \
		"Installing collected") what="$$count packages: installing them"; last=-5 ;; \
		"Successfully installed") [ -t 1 ] || printf '  %4d s  done\n' $$SECONDS; continue ;; \
		*) continue ;; \
	esac; \
	if [ -t 1 ]; then printf '\r\033[K  %4d s  %s' $$SECONDS "$$what"; \
	elif [ $$((SECONDS - last)) -ge 3 ]; then last=$$SECONDS; printf '  %4d s  %s\n' $$SECONDS "$$what"; fi; \
done; if [ -t 1 ]; then printf '\r\033[K'; fi; }
endef

# What is installed is told by stamp files: it is done again only when pyproject.toml changed.

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "no Python 3.11+ with venv found; on Debian: apt-get install python3 python3-venv" >&2; \
		exit 1; \
	fi
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "installing Busway into $(VENV), which takes a minute the first time"
	@$(PIP) install --progress-bar off --editable . | $(PROGRESS)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing Busway and what its tests need into $(VENV), a minute or two the first time"
	@$(PIP) install --quiet --upgrade 'pip>=25.1'
	@$(PIP) install --progress-bar off --editable '.[all]' --group dev | $(PROGRESS)
	@touch $@ $(VENV)/.run
