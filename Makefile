# The first commands: `make train` and `make test`. Needs Python 3.11 to 3.13; PYTHON=python3.12 chooses one.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: train test test-slow check format docs tutorials report bench clean

train: $(INSTALLED)
	$(BIN)/vi-train

test: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist worksteal -m slow

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo 'The site is in site/; look at it with: python -m http.server --directory site'

tutorials: $(INSTALLED)
	$(BIN)/python docs/notebooks.py $(NAMES)

report: $(INSTALLED)
	$(BIN)/python experiments/report.py $(RUNS)

bench: $(INSTALLED)
	$(BIN)/python -m experiments.benchmark.run ONLY=$(ONLY)

clean:
	rm -rf $(VENV)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "vi needs Python 3.11, 3.12 or 3.13; choose one with: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
