# Everything installs itself: `make demo` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
# A process a core, of one thread each: threads that wait for each other's core take many times as long. Files in the
# order of tests/conftest.py, the slow ones first, so that no process is left with a long one at the end.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
	--durations=15
# Lint runs beside the tests, which wait for each other, and is shown after them; either fails the target.
LINT_BESIDE = $(MAKE) --no-print-directory lint >.lint.log 2>&1 & lint=$$!;
LINT_SHOWN = tests=$$?; wait $$lint; linted=$$?; cat .lint.log; rm .lint.log; exit $$((tests | linted))
INSTALLED := .venv/.installed

.PHONY: help venv demo test test-fast test-all test-s3 chaos lint format bench docs clean

help:           ## this list
	@grep -E '^[a-z-]+: *.*##' $(MAKEFILE_LIST) | sed -E 's/: *.*## */\t/' | expand -t 12

venv: $(INSTALLED)  ## the virtual environment in .venv, with versions that work together

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tilebank needs Python 3.11 or newer; say which with make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

demo: venv      ## phantoms, extraction, a search of 36 heads and its report; FULL=1 is the larger study
	$(BIN)/python jobs/demo.py $(if $(FULL),--full)

test: venv      ## lint, and the tests in as many processes as there are cores
	@$(LINT_BESIDE) $(PYTEST); $(LINT_SHOWN)

test-fast: venv ## tests that start no Ray and run no whole job
	$(PYTEST) -m 'not slow and not long'

test-all: venv  ## lint and every test, the long ones too, but for those of `make chaos`
	@$(LINT_BESIDE) $(PYTEST) -m 'not chaos'; $(LINT_SHOWN)

test-s3: venv   ## the tests of object storage on a real Ceph gateway (Debian 12; fetches 70 MB once)
	infra/ceph_rgw.sh start
	. /tmp/tilebank-ceph/env && $(BIN)/python -m pytest tests/store tests/jobs/test_extract_on_s3.py; \
	  status=$$?; infra/ceph_rgw.sh stop; exit $$status

chaos: venv     ## kills and network faults at random, a lost node: many minutes (TILEBANK_CHAOS_KILLS, TILEBANK_CHAOS_SEED)
	$(BIN)/python -m pytest -m chaos -s

lint: venv      ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

format: venv    ## let ruff write the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: venv     ## side-by-side timings on this machine
	$(BIN)/python jobs/bench.py

docs: venv      ## the documentation site in site/; a dead link or an orphan page fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:          ## remove the environment and caches; data is left alone
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache platform/*.egg-info
