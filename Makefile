# Two commands do everything: `make demo` and `make test`. They need Python 3.11 and make.
PYTHON ?= python3.11
BIN := .venv/bin
PAIR ?= 64:256
MINUTES ?= 2.5
DEMO ?= demo
FUZZ_CASES ?= 50000

.PHONY: demo test test-slow fuzz lint constraints clean

demo: .venv/installed  ## train, compare and draw; DATA=folder takes your own films
	$(BIN)/xraysr demo --out $(DEMO) --pair $(PAIR) --minutes $(MINUTES) --overwrite \
		$(if $(DATA),--data "$(DATA)")

test: .venv/installed  ## the quick tests
	$(BIN)/python -m pytest

test-slow: .venv/installed  ## the tests that train or convert for minutes
	$(BIN)/python -m pytest -m slow

fuzz: .venv/installed  ## damaged films by the ten thousand; FUZZ_CASES=N for more
	XRAYSR_FUZZ_CASES=$(FUZZ_CASES) $(BIN)/python -m pytest tests/test_fuzz.py

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/installed: setup.cfg setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,dicom]'
	touch $@

constraints:  ## renew the pinned versions from what is installed
	$(BIN)/python -m pip freeze --exclude-editable --exclude xraysr > constraints.txt

clean:
	rm -rf .venv build *.egg-info
