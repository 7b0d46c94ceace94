# From a fresh clone: `make demo` or `make test`. Both set up their own environment in .venv first;
# a second run is quick. Another interpreter: `make demo PYTHON=python3.12`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: help demo test lint fast slow bench clean

help:
	@echo "make demo    train on 2,624 real photographs and say what to do next"
	@echo "make test    linters, type checker, import rules and the fast tests"
	@echo "make slow    the tests that take more than a few seconds"
	@echo "make bench   every script in benchmarks/ with its defaults (more than an hour)"
	@echo "make clean   remove .venv and all caches of the tools"

demo: .venv/demo.stamp
	$(BIN)/seefit demo

test: lint fast

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fast: .venv/dev.stamp
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

slow: .venv/dev.stamp
	$(BIN)/pytest -m slow

bench: .venv/demo.stamp
	set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "seefit needs Python 3.11 or newer, and \"$(PYTHON)\" is not: $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml | .venv/bin/python
	@echo "Installing seefit into .venv. The first time this fetches PyTorch and takes some minutes."
	$(PIP) --editable '.[demo,fast]'
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	@echo "Installing seefit and its developer tools into .venv. The first time this fetches PyTorch and takes some minutes."
	$(PIP) --editable '.[all,dev]'
	@touch $@ .venv/demo.stamp

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
