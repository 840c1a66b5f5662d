# `make test` and `make lint` set everything up in .venv on first use.
# Another interpreter: make PYTHON=/path/to/python3.12 test
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && { echo $$p; exit; }; done; echo python3)

.PHONY: help venv test browser-test lint demo studio format lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/.installed  ## create .venv with the locked development set

# The stamp is written last, so an interrupted installation starts again.
$(VENV)/.installed: requirements/dev.lock pyproject.toml
	@$(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { \
	  echo "csi-tf needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is $$($(PYTHON) -V 2>&1); name one with: make PYTHON=/path/to/python3.12 $(or $(MAKECMDGOALS),test)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module; install it (on Debian and Ubuntu: apt install python3-venv) and run make again." >&2; exit 1; }
	@echo "Installing some 4 GB into $(VENV), which takes minutes and says nothing meanwhile"
	@rm -rf $(VENV)  # not venv --clear, which empties what a link points to
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test: venv  ## run the tests (arguments: make test ARGS="-k masks")
	$(BIN)/python -m pytest $(ARGS)

browser-test: venv  ## test the studio in Chromium, which apt installs if it is not there
	@command -v chromium >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium; }
	$(BIN)/python -m pytest tests/test_studio_page.py tests/test_studio_sliders.py $(ARGS)

lint: venv  ## lint, format check and type check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: venv  ## fill holes and move latents with a model that comes along (ARGS="--model=NAME")
	$(BIN)/python run.py --mode=demo $(ARGS)

studio: venv  ## a page to paint holes on and to move latents (ARGS="--port=8000")
	$(BIN)/python run.py --mode=studio $(ARGS)

format: venv  ## format the code and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--no-emit-index-url --no-header --no-annotate --upgrade --quiet

lock: venv  ## resolve requirements/*.lock anew
	$(BIN)/python -m pip install --quiet --upgrade uv
	$(COMPILE) --extra dev -o requirements/dev.lock
	$(COMPILE) --extra jax --excludes requirements/jax.excludes \
	  --constraints requirements/dev.lock -o requirements/jax.lock

clean:  ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
