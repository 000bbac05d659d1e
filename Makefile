PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-all tools check bench format clean

quickstart: $(VENV)/installed   ## install, run the quickstart experiment, print its row
	$(BIN)/pgolf run quickstart

test: $(VENV)/installed-dev   ## CPU only, one process a core; leaves no file behind
	$(BIN)/python -m pytest -n auto --durations 10 -p no:cacheprovider

test-all: $(VENV)/installed-dev   ## with the slow ones: every backend, every published spec at tiny, fifty kills
	$(BIN)/python -m pytest -n auto --durations 10 -p no:cacheprovider -m ""

tools:   ## what some tests run against, where root and apt are: OpenSSH's server, Slurm, Chromium
	@missing=""; for pair in sshd:openssh-server slurmctld:slurmctld slurmd:slurmd munged:munge sbatch:slurm-client \
	  chromium:chromium chromedriver:chromium-driver; do \
	  PATH="$$PATH:/usr/sbin:/sbin" command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	test -z "$$missing" || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	  --no-install-recommends $$missing >/dev/null; } || echo "not installed:$$missing; their tests are skipped"

check: $(VENV)/installed-dev   ## style, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed   ## medians and ratios into benchmarks/results.md; some minutes on an idle machine
	$(BIN)/python -m benchmarks

format:
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
