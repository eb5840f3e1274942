# Two commands do everything: `make demo` and `make test`. They need make and Python 3.11 to 3.13.
# The first of these that runs, is new enough and can make environments; PYTHON=... says otherwise.
PYTHONS := python3.11 python3.12 python3.13 python3 python
FITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for each in $(PYTHONS); do \
	$$each -c '$(FITS)' > /dev/null 2>&1 && echo $$each && break; done)
BIN := .venv/bin
PAIR ?= 64:256
MINUTES ?= 2.5
DEMO ?= demo
FUZZ_CASES ?= 50000
WORKERS ?= 2
SITE ?= build/site

.PHONY: demo test test-slow fuzz lint docs constraints clean

demo: .venv/installed  ## train, compare and draw; DATA=folder takes your own films
	$(BIN)/xraysr demo --out $(DEMO) --pair $(PAIR) --minutes $(MINUTES) --overwrite \
		$(if $(DATA),--data "$(DATA)")

test: .venv/installed  ## the quick tests, in two processes of about 2 GB each
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope

test-slow: .venv/installed  ## the tests that train or convert for minutes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -m slow

fuzz: .venv/installed  ## damaged films by the ten thousand; FUZZ_CASES=N for more
	XRAYSR_FUZZ_CASES=$(FUZZ_CASES) $(BIN)/python -m pytest -m "slow or not slow" tests/test_fuzz.py

lint: .venv/installed  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed  ## the site, notebooks executed; a warning or a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --clean --site-dir $(SITE)

.venv/installed: setup.cfg setup.py pyproject.toml constraints.txt
	@$(if $(PYTHON),true,echo "No Python from 3.11 to 3.13 with venv was found among: \
	$(PYTHONS). Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,dicom,docs]'
	touch $@

constraints:  ## renew the pinned versions from what is installed
	$(BIN)/python -m pip freeze --exclude-editable --exclude xraysr > constraints.txt

clean:
	rm -rf .venv build *.egg-info
