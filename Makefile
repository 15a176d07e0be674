# Two commands on a fresh machine: `make demo` and `make test`. Both do all the set-up they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# an environment may forbid Python to keep what it compiled: here hundreds of processes start, and each would compile all anew
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo test test-all lint bench docs clean

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "countersign needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	$(BIN)/python -m harness.demo

test: $(READY)
	@$(BIN)/python -m harness.engines.needed
	COUNTERSIGN_JAVA_OPTIONS=-XX:TieredStopAtLevel=1 $(BIN)/pytest -n 2 --dist loadgroup --durations 15 -m "not slow"

test-all: $(READY)
	@$(BIN)/python -m harness.engines.needed
	$(BIN)/pytest -n 2 --dist loadgroup --durations 15 --timeout 7200

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m bench

docs: $(READY)
	$(BIN)/countersign reference

clean:
	rm -rf $(VENV) .cache out dist
