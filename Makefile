# The one door: `make demo` and `make test` set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# constraints.txt names torch without a local suffix: a CPU wheel that lies at hand is taken.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# The models here are small: a second thread waits for the first, and for minutes where the
# processors are shared. Results also depend on the number of threads in their last bits.
export OMP_NUM_THREADS ?= 1
# Processes that share the tests out; each computes with one thread.
WORKERS ?= 2

.PHONY: demo test slow lint types notebooks bench results clean

demo: $(VENV)/.examples
	rm -rf runs/demo
	$(BIN)/noise-lens compare --task digits-mlp --optimizers sgd,adam,adal -o runs/demo
	$(BIN)/noise-lens report runs/demo -o runs/demo/report.html

test: $(VENV)/.test
	$(BIN)/pytest -m "not slow" -q -n $(WORKERS) --dist worksteal

# With the training frameworks, whose tests skip in `make test`: there nothing waits for them.
slow: $(VENV)/.test $(VENV)/.hf $(VENV)/.lightning
	NOISE_LENS_REQUIRE_FRAMEWORKS=1 $(BIN)/pytest -m slow -q -n $(WORKERS) --dist worksteal

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(VENV)/.test
	$(BIN)/mypy

# Every script runs, without run folders, and every notebook has its cells; nothing is written.
notebooks: $(VENV)/.notebooks
	$(BIN)/python notebooks/execute.py

bench: $(VENV)/.test
	$(BIN)/python benchmarks/probe_cost.py
	$(BIN)/python benchmarks/estimator_cost.py
	$(BIN)/python benchmarks/training_cost.py
	$(BIN)/python benchmarks/optimizer_cost.py

# Every number and figure that the docs state, from the seeds: about three hours on one core.
results: $(VENV)/.test $(VENV)/.notebooks bench
	$(BIN)/python benchmarks/density_reference.py
	$(BIN)/python benchmarks/build_density_table.py
	$(BIN)/python benchmarks/calibrate_self_standardisation.py
	$(BIN)/python benchmarks/atom_at_two.py > benchmarks/results/atom_at_two.txt
	$(BIN)/python benchmarks/worth_of_a_row.py > benchmarks/results/worth_of_a_row.txt
	$(BIN)/python benchmarks/readings.py > benchmarks/results/readings.txt
	$(BIN)/python benchmarks/coverage.py > benchmarks/results/coverage.txt
	$(BIN)/python benchmarks/efficiency.py
	$(BIN)/python benchmarks/efficiency.py --figure
	$(BIN)/python benchmarks/estimator_readings.py
	$(BIN)/python benchmarks/calibrate_stable_errors.py
	$(BIN)/python benchmarks/rotation_power.py
	$(BIN)/python benchmarks/verdict_rates.py
	$(BIN)/python benchmarks/verdict_cost.py
	$(BIN)/python benchmarks/published_estimator.py
	$(BIN)/python benchmarks/published_estimator.py --figures docs/figures
	$(BIN)/python benchmarks/published_estimator.py --document
	$(BIN)/python benchmarks/real_noise.py
	$(BIN)/python benchmarks/real_noise.py --figure
	$(BIN)/python benchmarks/real_noise.py --document
	$(BIN)/python benchmarks/optimizers_compared.py digits text padam --figures --document
	$(BIN)/python benchmarks/kesten_anchors.py
	$(BIN)/python benchmarks/exit_times.py
	$(BIN)/python benchmarks/escape_scaling.py
	$(BIN)/python benchmarks/escape_scaling.py --figure
	$(BIN)/python benchmarks/escape_sgd_adam.py
	$(BIN)/python benchmarks/weight_tails.py
	$(BIN)/python benchmarks/weight_tails.py --figure
	$(BIN)/python benchmarks/escape_from_digits.py
	$(BIN)/python benchmarks/stationary_tails.py
	$(BIN)/python benchmarks/stationary_tails.py --figure
	$(BIN)/python notebooks/execute.py --write
	$(BIN)/python benchmarks/document_tables.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A stamp an extra: installed once, again when the dependencies change.
$(VENV)/.%: $(VENV)/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) runs build dist
