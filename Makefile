# The one door: `make demo` and `make test` set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# constraints.txt names torch without a local suffix: a CPU wheel that lies at hand is taken.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# The models here are small: a second thread waits for the first, and for minutes where the
# processors are shared. Results also depend on the number of threads in their last bits.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test slow lint types notebooks bench clean

demo: $(VENV)/.examples
	rm -rf runs/demo
	$(BIN)/noise-lens compare --task digits-mlp --optimizers sgd,adam,adal -o runs/demo
	$(BIN)/noise-lens report runs/demo -o runs/demo/report.html

test: $(VENV)/.test
	$(BIN)/pytest -m "not slow" -q

slow: $(VENV)/.test
	$(BIN)/pytest -m slow -q

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(VENV)/.test
	$(BIN)/mypy

notebooks: $(VENV)/.notebooks
	$(BIN)/python notebooks/execute.py

bench: $(VENV)/.test
	$(BIN)/python benchmarks/probe_cost.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A stamp an extra: installed once, again when the dependencies change.
$(VENV)/.%: $(VENV)/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) runs build dist
