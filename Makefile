# `make demo` and `make test` do all the set-up; the first takes minutes, later ones seconds.
# CONSTRAINTS pins the versions that CI tests; `make setup CONSTRAINTS=` takes the newest of everything instead.
PYTHON ?= python3
CONSTRAINTS ?= ci/constraints.txt
UV := .uv/bin/uv
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo test lint bench docs clean

help:
	@echo "make demo    train, judge and report a mixed-geometry model on real images (minutes)"
	@echo "make test    run the tests"
	@echo "make setup   only set up .venv"
	@echo "make lint    ruff and ty"
	@echo "make bench   run the benchmarks and write benchmarks/RESULTS.md"
	@echo "make docs    build the documentation in docs/_build/html"
	@echo "make clean   remove what was set up and built"

setup: $(READY)

# uv lives in an environment of its own, so that nothing of the user's is touched.
$(UV):
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

$(READY): pyproject.toml $(CONSTRAINTS) | $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) \
		--editable '.[fast,parquet,onnx,baselines,sweep,scenes,detection,umap]' --group dev --group docs
	touch $(READY)

demo: setup
	$(BIN)/horosphere train demo

test: setup
	$(BIN)/python -m pytest -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check src

bench: setup
	$(BIN)/python -m benchmarks

docs: setup
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf .uv .venv docs/_build .pytest_cache .ruff_cache .hypothesis
