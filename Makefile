# Everything happens in .venv, which the first target that needs it makes. `make` alone lists the targets.
VENV  := .venv
BIN   := $(VENV)/bin
TORCH := torch==2.13.0
PIP   := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
PIN   := $(PIP) --constraint requirements.lock

# What you may set:  make run ARGS="--env=rq_vae"   make test ARGS="-k sample"   make install PYTHON=python3.12
ARGS  ?=
TORCH_INDEX ?=
PYTHON ?=

export PATH := $(abspath $(BIN)):$(PATH)
export NO_MKDOCS_2_WARNING := 1
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install run test lint fuzz kill-test audit bench wheel docs docs-serve viz mlflow lab notebook lock clean clean-all

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.installed-run  ## create .venv with the pinned packages (TORCH_INDEX=https://download.pytorch.org/whl/cpu for torch's CPU build)

run: $(VENV)/.installed-run  ## semantic IDs for the embedded sample: kedro run --pipelines=tokenize (ARGS="--env=rq_vae" and the like)
	$(BIN)/kedro run --pipelines=tokenize $(ARGS)

test: $(VENV)/.installed-dev  ## run all tests (ARGS="-k words" for some)
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed-dev  ## style, the floors' imports and the core's types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

fuzz: $(VENV)/.installed-dev  ## mutated files, configuration and command lines for an hour (ARGS="--seconds 60 --seed 1")
	$(BIN)/python -m tests.fuzz $(ARGS)

kill-test: $(VENV)/.installed-dev  ## 200 runs killed at random moments, each followed by a whole one (ARGS="--count 20 --seed 1")
	$(BIN)/python -m tests.kills $(ARGS)

audit: $(VENV)/.installed-dev  ## known vulnerabilities of the pinned packages, by pip-audit (needs the network)
	$(PIP) pip-audit
	$(BIN)/pip-audit --requirement requirements.lock --no-deps --disable-pip

bench: $(VENV)/.installed-bench  ## measure against peers, side by side (minutes)
	$(BIN)/python benchmarks/run.py $(ARGS)

wheel: $(VENV)/.installed-dev  ## build the wheel and try it in a fresh environment, without any extra
	$(BIN)/python scripts/try_wheel.py

docs: $(VENV)/.installed-docs  ## build the documentation into site/
	$(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.installed-docs  ## the documentation at http://localhost:8000, rebuilt as you write
	$(BIN)/mkdocs serve

viz: $(VENV)/.installed-run  ## the pipelines as a picture, in the browser
	$(BIN)/kedro viz run $(ARGS)

mlflow: $(VENV)/.installed-run  ## the runs recorded so far, in the browser
	$(BIN)/kedro mlflow ui $(ARGS)

lab: $(VENV)/.installed-jupyter  ## JupyterLab with the project's catalog at hand
	$(BIN)/kedro jupyter lab $(ARGS)

notebook: $(VENV)/.installed-jupyter  ## the classic notebook, the same way
	$(BIN)/kedro jupyter notebook $(ARGS)

lock: $(BIN)/pip  ## resolve all extras together and write requirements.lock anew
	$(BIN)/python scripts/lock.py

clean:  ## remove what runs wrote (data/02 to data/08, logs) and all caches
	find data/0[2-8]* -mindepth 1 -not -name .gitkeep -delete
	rm -rf logs site build .viz .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .coverage
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean  ## the same, and .venv and the recorded runs
	rm -rf $(VENV) mlflow.db mlartifacts mlruns src/*.egg-info

# ---- how .venv comes about --------------------------------------------------------------------------------------------------------------
# A stamp is older than pyproject.toml or requirements.lock when these have changed: then pip looks again, and installs only what is new.

$(BIN)/pip:
	@set -e; for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3); do \
	    if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	        echo "Creating $(VENV) with $$($$python --version)"; exec $$python -m venv $(VENV); \
	    fi; \
	done; \
	echo "No Python 3.11, 3.12 or 3.13 found (tried: $(or $(PYTHON),python3.11 python3.12 python3.13 python3)); install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1

$(VENV)/.installed-run: pyproject.toml requirements.lock | $(BIN)/pip
	@echo "Installing $(TORCH) and the pinned packages (a few minutes the first time)"
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	@$(PIN) --editable ".[pipeline]"
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed-run
	@echo "Installing what '$*' needs"
	@$(PIN) --editable ".[$*]"
	@touch $@
