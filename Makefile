# Everything a developer does here. Needs Python >= 3.11 and make; fetches the rest from the package registry.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# Half as many again as there are processors, because tests wait for servers and clocks; eight at the most.
TESTERS = $(shell $(BIN)/python -c "import os; print(min(8, max(2, (os.cpu_count() or 1) * 3 // 2)))")
# Tried with the certificates that uv brings along, then with the machine's own: behind a proxy only those are right.
INSTALL = VIRTUAL_ENV=$(VENV) $(UV) pip sync --compile-bytecode --quiet --require-hashes requirements.lock
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
TOO_OLD := "Tenantry needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11"
export UV_PYTHON_DOWNLOADS := never
export PYTHONPATH := $(CURDIR)

.DEFAULT_GOAL := help
# .venv is a folder, and always to be looked into.
.PHONY: .venv help up demo test bench conformance model-check lint types schema release-schema migration format lock clean

help: ## List what can be made
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

up: .venv ## Run the product on embedded servers; pass options with ARGS="--port 9000"
	@exec $(BIN)/python -m devserver $(ARGS)

demo: .venv ## Let the product tell its own story and check every claim
	@$(BIN)/python -m devserver demo $(ARGS)

test: .venv ## Run every test; narrow with ARGS="tests/unit -k cancel"
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal $(ARGS)

bench: .venv ## Measure what moves and cancels cost; narrow with ARGS="moves --rounds 100"
	$(BIN)/python -m benchmarks $(ARGS)

conformance: .venv ## Prove every promise under fire, a row for each; narrow with ARGS="--only cancel_twice"
	@$(BIN)/python -m tests.conformance $(ARGS)

model-check: ## Check the formal model of cancel, and that it needs every protection; needs spin and gcc
	@formal/check

lint: .venv types ## Check style, types and the import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv ## Check types only
	$(BIN)/mypy

schema: .venv ## Write the GraphQL schema to schema/schema.graphql
	$(BIN)/python -m server schema > schema/schema.graphql.new
	mv schema/schema.graphql.new schema/schema.graphql

release-schema: .venv ## Let the schema stand for a release, unless it breaks clients of the last one
	$(BIN)/python -m schema.evolution

migration: .venv ## Draft a migration from the models; name it with NAME="add webhooks"
	$(BIN)/python -m devserver migration "$(NAME)"

format: .venv ## Format the code and fix what can be fixed by machine
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lock: $(UV) ## Choose the newest versions that fit and lock them
	$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--group dev --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

clean: ## Remove what was built; the data in .tenantry stays
	rm -rf $(VENV) .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: .venv/.as-locked ## Install exactly what the lock names

# The file says that the installation was finished, so an interrupted one is made again.
.venv/.as-locked: requirements.lock | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo $(TOO_OLD); exit 1; }
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(INSTALL) || UV_SYSTEM_CERTS=true $(INSTALL)
	@touch $@

.uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo $(TOO_OLD); exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv
