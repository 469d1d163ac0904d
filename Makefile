# make demo   the whole path on a bundled clip, with the server stopped and started on the way
# make test   every test
# make chaos  the tests that break link, server and clock, in their long form (CHAOS_MINUTES=30)
# make attack every known attack on the server, beside an honest caller; writes docs/security/attacks.md
# make check  formatting, types, import arrows, generated stubs, known vulnerabilities
# make stubs  write shared/stubs/ from protos/
# make lock   write requirements/*.txt from pyproject.toml
# make model-card DATA=fer2013.zip VOTES=ferplus.csv   measure the default weights, write
#             docs/model/model-card.md; weights of FER2013's label alone need no VOTES
# make figures  README, docs/figures/figures.md and their pictures from benchmarks/results; measures nothing
# make tables   the same of docs/figures/models.md alone, measured: networks and runtimes compared; needs
#             the extra comparators, and the data (DATA, VOTES, or SPLITFER_DATA, SPLITFER_VOTES)
# make settings docs/device/settings.md and docs/server/settings.md from the settings themselves
# make web      the edge for browsers, served at /edge: needs node, npm, clang and wasm-ld
# make images   the container images of both sides
# make arm64    the edge in Debian's arm64 under qemu: wheels alone, and the same numbers as here; minutes
#
# JOBS                  processes that share the tests (default: 2)
# SPLITFER_TORCH        the torch to install for development (default: see TORCH below)
# SPLITFER_TORCH_INDEX  a package index to take it from, such as one with processor-only builds

PYTHON ?= python3
JOBS ?= 2
TORCH := $(or $(SPLITFER_TORCH),torch==2.13.0)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PROTOS := splitfer/v1/splitfer.proto inference/grpc_inference.proto onnx_subset/external_data.proto

.PHONY: demo test chaos attack check stubs lock format model-card figures tables settings web images arm64 clean

demo: .venv/.run
	$(BIN)/python -m benchmarks demo --out demo-out

test: .venv/.dev
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadscope

chaos: .venv/.dev
	CHAOS_MINUTES=$(or $(CHAOS_MINUTES),2) $(BIN)/python -m pytest -m chaos --durations=10 tests/chaos

attack: .venv/.dev
	$(BIN)/python -m benchmarks readme attack

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	BIN=$(BIN) sh protos/check.sh
	BIN=$(BIN) sh requirements/audit.sh

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

stubs: .venv/.dev
	BIN=$(BIN) sh protos/generate.sh shared/stubs

lock: .venv/.dev
	BIN=$(BIN) sh requirements/lock.sh

# Where DATA and VOTES are not given, SPLITFER_DATA and SPLITFER_VOTES say where they are.
model-card: .venv/.dev
	$(BIN)/python -m benchmarks model_card $(if $(DATA),--data "$(DATA)") $(if $(VOTES),--votes "$(VOTES)")

figures: .venv/.dev
	$(BIN)/python -m benchmarks readme --kept

tables: .venv/.dev
	$(BIN)/python -m benchmarks readme table-001.4 table-000.6 table-004.4 ten-windows $(if $(DATA),--data "$(DATA)") $(if $(VOTES),--votes "$(VOTES)")

settings: .venv/.dev
	$(BIN)/python -m benchmarks.readme.settings

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

# A stamp is made last, so that an interrupted install is done again.
.venv/.run: .venv/bin/python requirements/run.txt pyproject.toml setup.py $(wildcard shared/codec/*.[ch])
	$(PIP) --require-hashes -r requirements/run.txt
	$(PIP) --no-deps --no-build-isolation -e .
	touch $@

.venv/.dev: .venv/.run requirements/dev.txt
	$(PIP) --require-hashes -r requirements/dev.txt
	$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) "$(TORCH)" $(if $(SPLITFER_TORCH_INDEX),--index-url $(SPLITFER_TORCH_INDEX))
	touch $@

web:
	cd cloud_server/rest_api/edge && npm ci --no-audit --no-fund && node build.mjs

images:
	sh deploy/images.sh

arm64: .venv/.dev
	BIN=$(BIN) sh deploy/arm64/prove.sh

clean:
	rm -rf .venv demo-out
