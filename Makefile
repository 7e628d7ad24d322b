# `make help` lists what is here. Everything runs from .venv, which `make setup` builds.
.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage test-all faults lint types imports audit fuzz bench bench-test format clean

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
EXTRAS := .[demo,dev]
SECONDS ?= 600
# One more than there are cores, as servers keep tests waiting.
IN_PARALLEL := -n $(shell n=$$(( $$(getconf _NPROCESSORS_ONLN) + 1 )); echo $$(( n < 4 ? n : 4 ))) --dist loadfile --no-loadscope-reorder

# Run by `make bench-test` and `make faults`.
ELSEWHERE := $(foreach part,bench faults sources/queues/test_faults.py,--ignore=des_platform_tests/$(part))

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# uv installs five times faster than pip and compiles the bytecode, without which Dagster starts 2.7 times slower, every time.
.venv/.installed: pyproject.toml deploy/constraints.txt
	@test -n "$(PYTHON)" || { echo "des_platform needs Python 3.11 or later with the venv module; found: $$(python3 --version 2>&1). Install it (Debian: apt install python3-venv) or name it: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	( $(BIN)/python -m pip install --quiet --constraint deploy/constraints.txt uv \
	  && $(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --constraint deploy/constraints.txt --editable '$(EXTRAS)' ) \
	|| $(BIN)/python -m pip install --quiet --constraint deploy/constraints.txt --editable '$(EXTRAS)'
	@touch $@

setup: .venv/.installed ## create .venv with everything that the demo and the tests need

demo: setup ## start the platform on this machine and feed it real files (Ctrl-C ends all of it)
	@$(BIN)/des demo

# Without coverage, which makes it a quarter longer than ten minutes on two cores.
test: setup ## run the test suite
	@$(BIN)/python -m pytest -m 'not chaos' $(ELSEWHERE) $(IN_PARALLEL)

coverage: setup ## run the test suite and show what it does not reach
	@$(BIN)/python -m pytest --cov -m 'not chaos' $(IN_PARALLEL)

test-all: setup ## the same with the long proofs: kills, many files
	@$(BIN)/python -m pytest --cov

faults: setup ## kill ingestion, the DataHub's compression and the demo between their steps and at random
	@$(BIN)/python -m pytest -q -s des_platform_tests/faults des_platform_tests/sources/queues/test_faults.py \
	  des_platform_tests/sources/datahub/test_compressing_killed.py \
	  des_platform_tests/chaos/test_kill.py::test_demo_killed_three_times_completes_as_if_it_had_not_been

lint: setup ## check style and formatting
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup ## check types, strictly
	@$(BIN)/mypy

imports: setup ## check that every arrow of the house runs down
	@$(BIN)/lint-imports

audit: setup ## look the installed packages up in the vulnerability database
	@$(BIN)/pip-audit --skip-editable

fuzz: setup ## feed damaged and lying archives, objects, indexes and requests to all that reads them (make fuzz SECONDS=60)
	@for what in archive codecs; do $(BIN)/python -m des_platform_tests.fuzz $$what --seconds $$(( $(SECONDS) / 2 )) || exit 1; done
	@$(BIN)/python -m pytest -q -m chaos des_platform_tests/services/lake_api/test_schemathesis.py

bench-test: setup ## run every bench in miniature, to see that each of its rows still measures something
	@$(BIN)/python -m pytest -q -m 'not chaos' des_platform_tests/bench $(IN_PARALLEL)

.venv/.bench: .venv/.installed
	$(BIN)/python -m pip install --quiet --constraint deploy/constraints.txt --editable '.[bench]'
	@touch $@

bench: .venv/.bench ## measure every room beside its peers, and the demo's stages beside plain copies
	@$(BIN)/python -m des_platform_tests.bench archive
	@$(BIN)/python -m des_platform_tests.bench codecs
	@$(BIN)/python -m des_platform_tests.bench transfers
	@$(BIN)/python -m des_platform_tests.bench ingest
	@$(BIN)/python -m des_platform_tests.bench parquet
	@$(BIN)/python -m des_platform_tests.bench lake
	@$(BIN)/python -m des_platform_tests.bench demo

format: setup ## format the code
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

clean: ## remove .venv and every cache
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
