# Two commands are the product: `make demo` and `make test`. Both need Python 3.11 or newer and make, nothing else:
# .ci/environment builds .venv, from the versions in constraints.txt, and only when something changed.
#
# Paths are relative, so that a folder with spaces in its name works; `make -C folder test` runs from elsewhere.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# A variable of the caller's shell must not reach into the environment that is built here.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV

python := .venv/bin/python
pinned := pyproject.toml constraints.txt .ci/environment

# For .ci/environment: see there.
export PYTHON EMBEDDED

# What is passed on, as in: make test ARGS="-k telegram"
ARGS ?=

.PHONY: help demo test oracles bench lint format types layers hooks wheel clean environment

help:  ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

demo: environment .venv/.embedded  ## Run the whole product with its own PostgreSQL and simulated channels
	@$(python) -m inbox demo $(ARGS)

test: environment .venv/.dev  ## Run every test; ARGS="-k word" runs some
	@$(python) -m pytest $(ARGS)

oracles: environment .venv-oracles/.ready  ## Have other people's packages judge what we send and simulate
	@.venv-oracles/bin/python -m pytest -c tests/oracles/pytest.ini tests/oracles $(ARGS)

bench: environment .venv/.dev  ## Measure; ARGS="ingest fanout --quick" measures some, in less time
	@$(python) -m benchmarks $(ARGS)

lint: environment .venv/.dev  ## Check style, formatting, types and layers
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(MAKE) types layers

types: environment .venv/.dev
	@$(python) -m mypy
	@$(python) -m mypy tests

layers: environment .venv/.dev
	@.venv/bin/lint-imports --no-logo

format: environment .venv/.dev  ## Correct what can be corrected without thinking
	@$(python) -m ruff check --fix .
	@$(python) -m ruff format .

hooks: environment .venv/.dev  ## Check every commit before it is made
	@$(python) -m pre_commit install

wheel: environment .venv/.dev  ## Build the distribution into dist/
	@$(python) -m pip --quiet wheel --no-deps --wheel-dir dist .

clean:  ## Remove what was built; the data of a running installation stays
	rm -rf .venv .venv-oracles build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

environment:
	@sh .ci/environment check

.venv/.embedded: $(pinned)
	@sh .ci/environment embedded

.venv/.dev: $(pinned)
	@sh .ci/environment embedded dev

# Apart from .venv: aiogram and pywa want older versions of what the product uses.
.venv-oracles/.ready: tests/oracles/requirements.txt | .venv/.dev
	@$(python) -m venv --clear .venv-oracles
	@.venv-oracles/bin/python -m pip --quiet install --requirement tests/oracles/requirements.txt
	@touch $@
