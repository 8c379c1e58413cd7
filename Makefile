# Two commands for a newcomer: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := common tenant_service pipeline_service gateway local_stack tests bench
PROTOS = $(shell cd protos && find convergence -name '*.proto' | LC_ALL=C sort)
PROTOS_WITH_SERVICES = $(filter %_service.proto,$(PROTOS))
# Google's own .proto files, as googleapis-common-protos carries them.
GOOGLE_PROTOS = $(shell $(BIN)/python -c 'import google.api, pathlib; print(pathlib.Path(list(google.api.__path__)[0]).parents[1])')
PROTOC = $(BIN)/python -m grpc_tools.protoc -I protos -I $(GOOGLE_PROTOS)
IMAGE := .build/image.binpb
STUBS := .build/stubs
LIST_STUBS = find convergence -name '*_pb2*' -type f ! -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum
BASELINE := protos/baseline.binpb
# CI and `make test` read real inputs from here; tests that need them say so where the folder is absent.
export CONVERGENCE_TEST_DATA ?= $(abspath ../shared/data)
PYTEST_FLAGS ?= -n auto
# protoc looks for its plugins on PATH.
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: help demo test up check format lint types contracts proto proto-check openapi-check docs docs-check baseline templates schema lock clean openapi bench bench-runs chaos install replay histories
.NOTPARALLEL:

help: ## List every target
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(STAMP) ## Install everything into .venv

$(STAMP): requirements/development.txt pyproject.toml sdk/pyproject.toml local_stack/pyproject.toml
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/development.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e sdk -e .
	touch $@

demo: $(STAMP) ## Start the local stack on throw-away state, do the main job, show it, stop
	$(BIN)/python -m local_stack demo

up: $(STAMP) ## Run the local stack in the foreground; state under .local/
	exec $(BIN)/python -m local_stack up

test: $(STAMP) ## Run every test
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

ROUNDS ?= 30
SEED ?= 1
chaos: $(STAMP) ## Kill, cut off and overload, ROUNDS times at moments that SEED fixes: about an hour (docs/chaos.md)
	CONVERGENCE_CHAOS_FULL=1 CONVERGENCE_CHAOS_ROUNDS=$(ROUNDS) CONVERGENCE_CHAOS_SEED=$(SEED) \
		$(BIN)/python -m pytest -n0 -v --durations=20 tests/chaos

bench: $(STAMP) ## Print the performance ratios the project is held to
	$(BIN)/python -m bench

bench-runs: $(STAMP) ## Watch the memory of pipeline_service over 5,000 runs: an hour or so
	$(BIN)/python -m bench.five_thousand_runs

# mypy takes as long as all of these together: it runs beside them, and is heard at the end.
CHECKS := lint contracts proto-check openapi-check docs-check templates replay

check: $(STAMP) ## Everything that CI checks besides the tests
	@mkdir -p .build
	@$(MAKE) --no-print-directory types > .build/types.log 2>&1 & types=$$!; trap 'kill $$types 2>/dev/null || true' EXIT; \
	failed=0; $(MAKE) --no-print-directory $(CHECKS) || failed=$$?; \
	wait $$types || failed=$$?; cat .build/types.log; exit $$failed

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP) ## Check format and lint (ruff), and what describes the containers (hadolint, the compose schema)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml

types: $(STAMP) ## Check types (mypy, strict)
	$(BIN)/mypy

contracts: $(STAMP) ## Check who imports whom (import-linter)
	$(BIN)/lint-imports --no-cache

# $(call generate,DIR): the stubs of every .proto, under DIR/convergence
define generate
$(PROTOC) --python_out=$(1) --mypy_out=quiet:$(1) $(PROTOS)
$(PROTOC) --grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) $(PROTOS_WITH_SERVICES)
endef

replay: $(STAMP) ## Check that runs of earlier releases go on under this code
	$(BIN)/python -m pytest -n0 tests/replay

histories: $(STAMP) ## Record the histories of this version's runs, once it is released
	$(BIN)/python -m tests.replay.record tests/replay/histories/$$($(BIN)/python -c \
		'from importlib.metadata import version; print(version("convergence-server"))')

proto: $(STAMP) ## Generate sdk/convergence from protos/
	find sdk/convergence -name '*_pb2*' -delete
	$(call generate,sdk)

$(IMAGE): $(STAMP) $(addprefix protos/,$(PROTOS))
	mkdir -p $(@D)
	$(PROTOC) --include_imports --include_source_info --descriptor_set_out=$@ $(PROTOS)

proto-check: $(IMAGE) ## Check protos/: lint, breaking changes since the baseline, drift of sdk/convergence
	$(BIN)/buf lint $(IMAGE) --config protos/buf.yaml
	$(BIN)/buf breaking $(IMAGE) --config protos/buf.yaml --against $(BASELINE)
	rm -rf $(STUBS) && mkdir -p $(STUBS)
	$(call generate,$(STUBS))
	@diff <(cd $(STUBS) && $(LIST_STUBS)) <(cd sdk && $(LIST_STUBS)) || { \
		echo 'sdk/convergence is not what protos/ generate: run `make proto`'; exit 1; }

OPENAPI := docs/openapi.yaml

openapi: $(IMAGE) ## Generate docs/openapi.yaml, the description of the REST API, from protos/
	$(BIN)/python -m tools.openapi $(IMAGE) > .build/openapi.yaml
	cp .build/openapi.yaml $(OPENAPI)

openapi-check: $(IMAGE) ## Check drift of docs/openapi.yaml
	@diff <($(BIN)/python -m tools.openapi $(IMAGE)) $(OPENAPI) || { \
		echo '$(OPENAPI) is not what protos/ generate: run `make openapi`'; exit 1; }

OPERATIONS := docs/operations.md
ERRORS := docs/errors.md

docs: $(IMAGE) ## Generate the tables of settings in docs/operations.md from the settings classes, and docs/errors.md from protos/
	$(BIN)/python -m tools.operations $(OPERATIONS) > .build/operations.md
	cp .build/operations.md $(OPERATIONS)
	$(BIN)/python -m tools.errors $(IMAGE) > .build/errors.md
	cp .build/errors.md $(ERRORS)

docs-check: $(IMAGE) ## Check drift of both
	@diff <($(BIN)/python -m tools.operations $(OPERATIONS)) $(OPERATIONS) || { \
		echo '$(OPERATIONS) is not what the settings classes generate: run `make docs`'; exit 1; }
	@diff <($(BIN)/python -m tools.errors $(IMAGE)) $(ERRORS) || { \
		echo '$(ERRORS) is not what protos/ generate: run `make docs`'; exit 1; }

baseline: $(STAMP) ## Declare the API as it stands released: from now on `make check` refuses to break it
	$(PROTOC) --include_imports --descriptor_set_out=$(BASELINE) $(PROTOS)

SCHEMA := configs/template.schema.json

templates: $(STAMP) ## Check configs/: every problem of templates and schemas by file and line; drift of the schema for editors
	$(BIN)/python -m common.templates.lint configs
	@diff <($(BIN)/python -m common.templates.schema) $(SCHEMA) || { \
		echo '$(SCHEMA) is not what the model in common/templates/ generates: run `make schema`'; exit 1; }

schema: $(STAMP) ## Generate the JSON Schema of templates, with which editors complete and check them
	$(BIN)/python -m common.templates.schema > $(SCHEMA)

LOCK = uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --no-header $(addprefix --no-emit-package convergence-,sdk server local-stack)

lock: ## Pin dependencies anew (needs uv)
	$(LOCK) --upgrade --extra local --extra dev -o requirements/development.txt
	$(LOCK) --constraints requirements/development.txt --extra local -o requirements/local.txt
	$(LOCK) --constraints requirements/development.txt -o requirements/production.txt
	$(subst pyproject.toml,--group build,$(LOCK)) --constraints requirements/development.txt -o requirements/build.txt

clean: ## Remove .local/, the state of `make up`
	@if [ -f .local/run/supervisor.pid ] && kill -0 "$$(cat .local/run/supervisor.pid)" 2>/dev/null; then \
		echo 'the local stack is running: stop it first'; exit 1; fi
	rm -rf .local
