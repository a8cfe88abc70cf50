# Everything runs in .venv, made from requirements/*.txt: pinned, hashed, and naming no index.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: setup run test coverage check bench profile compare load soak readme lock clean

setup: .venv/.run

.venv/.run: requirements/run.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(INSTALL) --require-hashes -r requirements/run.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.run requirements/dev.txt
	$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

run: setup
	$(BIN)/ingest serve

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m profiling.regressions
	$(BIN)/python -m pytest

# not part of `test`: being traced costs a minute
coverage: .venv/.dev
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: .venv/.dev
	$(BIN)/python -m pytest -q profiling --benchmark-columns=min,median,stddev,rounds
	$(BIN)/python -m profiling.bench

profile: .venv/.dev
	$(BIN)/python -m profiling.record

compare: .venv/.dev
	$(BIN)/python -m profiling.compare

load: .venv/.dev
	$(BIN)/python -m loadtest.run

soak: .venv/.dev
	$(BIN)/python -m loadtest.run --shape soak
	$(BIN)/python -m tests.faults.soak --minutes 30

readme: .venv/.run
	$(BIN)/python -m profiling.readme

# needs uv; writes the pinned files from pyproject.toml
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-header --no-emit-index-url --extra embedded --extra build
lock:
	$(COMPILE) pyproject.toml -o requirements/run.txt
	$(COMPILE) --extra dev --extra load pyproject.toml -o requirements/dev.txt

clean:
	rm -rf .venv data
