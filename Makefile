# The one list of commands, for people, hooks and CI alike. Every target that needs Python
# packages makes its own virtual environment in .venv first.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
JOBS   ?= 2
MODELS ?= .models
SOURCES := mvc tests examples benchmarks docs
BUILT   := pyproject.toml setup.py mvc/codec/_kernels.c
PROSE   := $(wildcard *.md) Makefile .ci/run

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format docs bench clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.all  ## fetch real models, take them through a session, then through a fleet
	$(PY) -m examples.demo --models $(MODELS)
	$(PY) -m examples.fleet --models $(MODELS) --devices 3

test: lint  ## lint, then every test but the long campaigns
	$(PY) -m pytest -n $(JOBS) -m "not slow and not real" --hypothesis-profile=ci

test-all: lint  ## lint, then every test, on real models and with the long campaigns
	$(PY) -m examples.models --out $(MODELS) --all
	MVC_TEST_MODELS=$(abspath $(MODELS)) $(PY) -m pytest -n $(JOBS) --hypothesis-profile=nightly

lint: $(VENV)/.dev  ## style, types, layers, spelling
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m mypy -p examples -p benchmarks
	$(VENV)/bin/lint-imports
	$(PY) -m codespell_lib $(wildcard $(SOURCES)) $(PROSE)

format: $(VENV)/.dev  ## rewrite the sources in the one format
	$(PY) -m ruff check --fix --exit-zero --quiet .
	$(PY) -m ruff format .

docs: $(VENV)/.dev  ## write docs/cli.md anew from the commands' own help
	$(PY) docs/generate_cli.py > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md

bench: $(VENV)/.all  ## all benchmarks; needs git-lfs and 15 GB of disk
	$(PY) -m benchmarks.startup
	$(PY) -m benchmarks.commit
	$(PY) -m benchmarks.memory

clean:  ## remove everything that was made here, the fetched models included
	rm -rf $(VENV) $(MODELS) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache \
	  .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f mvc/codec/*.so

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mvc needs Python 3.11 or later; name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# What demo and bench need; the stamp of dev covers it as well.
$(VENV)/.all: $(BUILT) | $(VENV)/bin/python
	$(PIP) -e '.[all]'
	@$(PY) -m compileall -q mvc
	@touch $@

$(VENV)/.dev: $(BUILT) | $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	@$(PY) -m compileall -q mvc
	@touch $@ $(VENV)/.all
