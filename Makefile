# `make demo` and `make test` do all the set-up; the first takes minutes, later ones seconds.
# CONSTRAINTS pins the versions that CI tests; `make setup CONSTRAINTS=` takes the newest of everything instead.
PYTHON ?= python3
CONSTRAINTS ?= ci/constraints.txt
UV := .uv/bin/uv
BIN := .venv/bin
READY := .venv/.ready
MILVUS := .venv-milvus

.PHONY: help setup demo test test-milvus lint bench bench-milvus docs clean

help:
	@echo "make demo    train, judge and report a mixed-geometry model on real images (minutes)"
	@echo "make test    run the tests"
	@echo "make test-milvus  run the tests that need a Milvus server, in an environment of their own"
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

# Milvus listens on every address, so it gets a network that has only 127.0.0.1; nothing that it starts outlives the tests.
# Where the system grants no such network the tests are skipped, and say so.
ALONE := unshare --map-root-user --net --pid --fork --kill-child --mount-proc
test-milvus: $(MILVUS)/.ready
	if $(ALONE) ip link set lo up; \
		then $(ALONE) sh -c 'ip link set lo up && exec $(MILVUS)/bin/python -m pytest tests/index tests/collection -m milvus'; \
		else $(MILVUS)/bin/python -m pytest tests/index tests/collection -m milvus -rs; fi

$(MILVUS)/.ready: pyproject.toml $(CONSTRAINTS) | $(UV)
	test -x $(MILVUS)/bin/python || $(UV) venv --quiet --python $(PYTHON) $(MILVUS)
	$(UV) pip install --quiet --python $(MILVUS)/bin/python $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) \
		--editable '.[milvus,fast]' milvus pytest hypothesis
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check src

bench: setup
	$(BIN)/python -m benchmarks

bench-milvus: $(MILVUS)/.ready
	$(ALONE) sh -c 'ip link set lo up && exec $(MILVUS)/bin/python -m benchmarks milvus'

docs: setup
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf .uv .venv .venv-milvus docs/_build .pytest_cache .ruff_cache .hypothesis
