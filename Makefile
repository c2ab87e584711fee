# The whole interface for people: make ship, make test, make check, make bench.
# A new machine needs only python3 (3.11 to 3.13) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
# Beam takes no protobuf 7, and is tested in an environment of its own.
LOCKED := export serve client datasets tensorboard dev
PEERS_READY := $(PEERS)/.ready
EXAMPLES_READY := examples/node_modules/.ready
RECIPE ?= ecg-gru
OUT ?= bundles/$(RECIPE)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

CASES ?= 2000
SEED ?= 0
KERAS ?= 2

.PHONY: help ship recipes test check bench fuzz docs lock clean

help:
	@echo "make ship    train a recipe, export it, prove the exports equal, write the bundle (RECIPE=$(RECIPE) OUT=$(OUT) ARGS=...)"
	@echo "make recipes every recipe on its generated data, and docs/recipes/figures.md (KERAS=$(KERAS))"
	@echo "make test    the test suite"
	@echo "make check   formatting, lint, types, generated docs"
	@echo "make bench   ratios, side by side, on this machine (ARGS=--quick for a first look)"
	@echo "make fuzz    random architectures in Keras, onnxruntime and NumPy, for hours (CASES=$(CASES) SEED=$(SEED))"

# One environment, made once and made again when the lock or the project's metadata changes.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); sys.exit(0 if ok else "seqship needs CPython 3.11 to 3.13, $(PYTHON) is " + sys.version.split()[0] + "; name another with make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV)" >&2
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-index --no-build-isolation --editable .
	@touch $@

# What the tests ask a server with, and run without TensorFlow, under protobuf 6.
$(PEERS_READY): requirements-peers.lock pyproject.toml | $(READY)
	@test -x $(PEERS)/bin/python || $(BIN)/python -m venv $(PEERS)
	@echo "installing the locked peers into $(PEERS)" >&2
	@$(PEERS)/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements-peers.lock
	@$(PEERS)/bin/python -m pip install --quiet --no-deps --no-index --no-build-isolation --editable .
	@touch $@

ship: $(READY)
	@$(BIN)/seqship ship $(RECIPE) --out $(OUT) --force $(ARGS)

recipes: $(READY)
	@$(BIN)/python -m benchmarks.recipes --keras $(KERAS) --page docs/recipes/figures.md $(ARGS)

# What the examples for Node.js and the browser stand on; where there is no npm, their tests are skipped.
$(EXAMPLES_READY): examples/package-lock.json
	@if command -v npm >/dev/null; then cd examples && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.ready; \
	else echo "no Node.js: the tests of examples/ are skipped" >&2; fi

test: $(READY) $(PEERS_READY) $(EXAMPLES_READY)
	@SEQSHIP_PEERS=$(PEERS) $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/basedpyright
	@$(BIN)/python docs/generate.py --check

# Writes the pages that are made from the code.
docs: $(READY)
	@$(BIN)/python docs/generate.py

bench: $(READY)
	@$(BIN)/python -m benchmarks $(ARGS)
	@$(BIN)/python -m benchmarks.saved_model
	@$(BIN)/python -m benchmarks.windows
	@$(BIN)/python -m benchmarks.padding
	@$(BIN)/python -m benchmarks.verify --only ecg-gru --only imdb-bilstm --only stateful

fuzz: $(READY)
	@$(BIN)/python -m tests.export.fuzz --cases $(CASES) --seed $(SEED) $(ARGS)

# Needs the network; writes no index address into the file.
lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml $(LOCKED:%=--extra %) --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --upgrade --quiet -o requirements.lock
	$(BIN)/uv pip compile requirements-peers.in --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --upgrade --quiet -o requirements-peers.lock

clean:
	rm -rf $(VENV) $(PEERS) build *.egg-info .pytest_cache .ruff_cache .hypothesis
