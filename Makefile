# `make lab` opens the course, `make test` checks all of it. Needed: Python >= 3.11 with venv and pip, git, make.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --disable-pip-version-check --no-input -c constraints.txt
# Silent where nobody watches; JupyterLab refuses root unless told.
PIP += $(shell test -t 2 || echo -q)
# With the settings in this folder, JupyterLab doesn't ask on its first page whether to fetch news.
lab: export JUPYTER_CONFIG_PATH := $(CURDIR)/tools/jupyter$(if $(JUPYTER_CONFIG_PATH),:$(JUPYTER_CONFIG_PATH))
LAB_FLAGS ?= $(shell test "$$(id -u)" != 0 || echo --allow-root)
# A copied or moved checkout holds an environment that points to the old place.
MOVED := $(if $(subst $(CURDIR),,$(shell cat $(VENV)/.core 2>/dev/null)),FORCE)

.PHONY: help lab classroom test test-full notebooks experiments checkpoint bench lint format clean FORCE
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 - /p' Makefile

lab: $(VENV)/.core ## open the course in JupyterLab
	@# Marked as trusted, they show their colours before the first run; JupyterLab filters other people's.
	-@$(RUN) -m jupyter trust notebooks/*.ipynb >/dev/null 2>&1
	$(RUN) -m jupyter lab $(LAB_FLAGS) notebooks/00_start_here.ipynb

classroom: $(VENV)/.class ## for instructors: adds nbgrader, for `seglib class`
	@echo "Ready: source $(VENV)/bin/activate, then see notebooks/assignments/README.md"

test: $(VENV)/.test ## before a commit: style, types, unit tests, every notebook; FAST=1: what changed
	$(RUN) tools/check.py --workers $(WORKERS) $(if $(FAST),--fast)

test-full: $(VENV)/.test ## nightly: slow tests too, and notebooks as on other processors, with other seeds
	$(RUN) tools/check.py --workers $(WORKERS) --full

notebooks: $(VENV)/.test ## run every chapter anew and store its outputs
	$(RUN) tools/notebooks.py

experiments: $(VENV)/.test ## the chapters' longer experiments, to benchmarks/results
	$(RUN) -m benchmarks.experiments

checkpoint: $(VENV)/.test ## train the small networks in data/checkpoints anew
	$(RUN) -m benchmarks.checkpoint

bench: $(VENV)/.bench ## speed and quality beside other libraries; CAMVID=DIR for quality
	$(RUN) -m benchmarks.bench $(if $(CAMVID),--camvid "$(CAMVID)")
	$(if $(CAMVID),$(RUN) -m benchmarks.camvid --data-root "$(CAMVID)")

lint: $(VENV)/.test ## style and types only
	$(RUN) tools/check.py --only lint

format: $(VENV)/.test ## put code and notebooks into the project's format
	$(RUN) -m ruff check --fix --exit-zero --quiet
	$(RUN) -m ruff format
	$(RUN) tools/notebooks.py --format

clean: ## remove caches and the environment
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp holds the checkout's folder; it is as new as the files that say what to install.
$(VENV)/.core: pyproject.toml constraints.txt $(MOVED)
	@$(PYTHON) tools/make_venv.py $(VENV)
	@echo "Installing seglib and PyTorch into $(VENV): up to 6 GB, some minutes, once."
	@$(PIP) -e .
	@echo "$(CURDIR)" > $@

$(VENV)/.class: $(VENV)/.core
	@$(PIP) -e ".[classroom]"
	@echo "$(CURDIR)" > $@

$(VENV)/.test: $(VENV)/.core
	@echo "Installing what the tests need."
	@$(PIP) -e ".[test]"
	@echo "$(CURDIR)" > $@

$(VENV)/.bench: $(VENV)/.test
	@$(PIP) -e ".[bench]"
	@echo "$(CURDIR)" > $@
