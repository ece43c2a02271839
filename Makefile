# pasture.ollama: every command of the project. `make` alone lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The interpreter: the system's rather than a shim of a version manager, which may not run. PYTHON=... overrides it.
PYTHON ?= $(firstword $(wildcard $(foreach v,11 12 13,/usr/bin/python3.$(v) /usr/local/bin/python3.$(v))) python3)
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
# The sources as a tree of collections, and the collection as it is installed.
DEV := $(CURDIR)/.build/dev
INSTALLED := $(CURDIR)/.build/collections

# Ansible wants a UTF-8 locale, and keeps its temporary files out of the home folder.
export LC_ALL := C.UTF-8
export ANSIBLE_HOME := $(CURDIR)/.build/ansible
export ANSIBLE_LOCALHOST_WARNING := False
export PATH := $(BIN):$(PATH)

# --- Set-up ----------------------------------------------------------------------------------------------------------

.PHONY: help
help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

.PHONY: env-demo env-dev
env-demo:
	@$(PYTHON) tools/setup_env.py demo
env-dev:
	@$(PYTHON) tools/setup_env.py dev

.PHONY: dev
dev: env-dev
	@$(BIN)/python tools/collection.py dev >/dev/null

.PHONY: build
build: env-demo ## build the collection and install it into .build/collections
	@$(BIN)/python tools/collection.py build >/dev/null

LOCK = $(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url \
  --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
PROJECTS := image/pyproject.toml local/pyproject.toml
.PHONY: lock
lock: env-dev ## write requirements/*.txt anew (UPGRADE=1: with the newest versions)
	$(LOCK) requirements/dev.in $(PROJECTS) -o requirements/dev.txt
	$(LOCK) requirements/demo.in $(PROJECTS) -c requirements/dev.txt -o requirements/demo.txt
	$(LOCK) --generate-hashes image/pyproject.toml -o image/requirements.txt
	$(LOCK) --generate-hashes image/requirements-build.in -o image/requirements-build.txt

# --- The demonstration -----------------------------------------------------------------------------------------------

# The recipe reads them from its environment, and as they were typed: a prompt may hold any quote or dollar sign.
override DOC := $(value DOC)
override PROMPT := $(value PROMPT)
export DOC PROMPT

.PHONY: demo demo-down
demo: build ## run the whole pipeline on this machine (DOC=file PROMPT="..." for your own document; KEEP=1 to leave it running)
	@ANSIBLE_COLLECTIONS_PATH=$(INSTALLED) $(BIN)/pasture-local demo \
	  $(if $(KEEP),--keep) $(if $(PORT),--port "$(PORT)") $(if $(DOC),--document "$$DOC") $(if $(PROMPT),--prompt "$$PROMPT")
demo-down: env-demo ## end what `make demo KEEP=1` left running
	@$(BIN)/pasture-local down

# --- Checks ----------------------------------------------------------------------------------------------------------

# What answers in seconds, what takes minutes, and what takes many, mostly on one core each: two of those run side by side.
FAST := lint types unit
SLOW := changelog-lint docs-lint importer sanity units
LONG := integration molecule image programs
# What the long ones have recorded.
LAST := iam

.PHONY: check
check: ## the fast loop: lint, types and unit tests
	@$(MAKE) --keep-going $(FAST) COVERAGE=

.PHONY: test
test: ## everything that is checked
	@$(PYTHON) tools/suites.py --first $(FAST) $(SLOW) --beside $(LONG) --last $(LAST) --command $(MAKE)

.PHONY: lint
lint: dev ## ruff, yamllint and ansible-lint (production profile)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/yamllint --strict .
	# Molecule's copy of the collection, which would be looked at instead of the sources.
	@rm -rf .build/ansible/collections/ansible_collections/pasture
	ANSIBLE_COLLECTIONS_PATH=$(DEV) $(BIN)/ansible-lint --offline --profile production

.PHONY: types
types: dev ## mypy --strict
	$(BIN)/mypy tools benchmarks tests/integration image/src local/src
	# On its own: mypy takes one conftest.py at a time.
	$(BIN)/mypy tests/iam
	cd $(DEV) && MYPYPATH=. $(BIN)/mypy --config-file $(CURDIR)/pyproject.toml --namespace-packages --explicit-package-bases \
	  -p ansible_collections.pasture.ollama.plugins.module_utils

# Tests that start the emulator, the engine or Ansible are marked "integration", others that take long "slow".
UNIT := -n auto --dist loadfile -m "not integration and not slow"
# The fast loop goes without: it takes half as long again.
COVERAGE := --cov --cov-branch --cov-report=term:skip-covered
.PHONY: unit
unit: dev ## the unit tests, with branch coverage
	$(BIN)/pytest $(UNIT) $(COVERAGE)

.PHONY: integration programs
integration: dev build ## the main job, and what can go wrong with it, on the embedded cloud
	$(BIN)/pytest -m "integration or slow" tests/integration
programs: dev ## the worker, the embedded cloud and the tools, as the processes that they are
	$(BIN)/pytest -m "integration or slow" image/tests local/tests tools/tests

.PHONY: molecule
molecule: dev ## the scenarios of the roles on the embedded cloud
	ANSIBLE_COLLECTIONS_PATH=$(DEV) $(BIN)/molecule test --all

# What molecule and integration have recorded, so after them. Status 75: npm's registry cannot be reached.
.PHONY: iam
iam: dev ## the recorded calls against the deployed policies (after molecule and integration)
	@$(BIN)/python tools/policy_simulator.py; status=$$?; \
	  if [ $$status -eq 0 ]; then $(BIN)/pytest tests/iam; elif [ $$status -ne 75 ]; then exit $$status; fi

.PHONY: image audit
image: dev ## build the container image on bases made here, and check it (needs root, or podman, mmdebstrap and docker-registry)
	$(BIN)/pytest tests/image
audit: env-dev ## known vulnerabilities in the image's Python packages
	$(BIN)/python tools/audit.py

.PHONY: sanity units
sanity: dev ## ansible-test sanity on the built collection
	$(BIN)/python tools/run_ansible_test.py sanity
units: dev ## ansible-test units on the built collection
	$(BIN)/python tools/run_ansible_test.py units

.PHONY: importer
importer: build env-dev ## what Galaxy checks when a collection is uploaded
	cd .build && ANSIBLE_COLLECTIONS_PATH=$(INSTALLED) $(BIN)/python -m galaxy_importer.main pasture-ollama-*.tar.gz

.PHONY: docs-lint changelog-lint
docs-lint: build env-dev ## antsibull-docs on plugins, roles and docs
	# It copies what git knows of a collection, and git knows nothing of those in our folders: hide git from it.
	GIT_CEILING_DIRECTORIES=$(VENV):$(CURDIR)/.build $(BIN)/antsibull-docs lint-collection-docs --plugin-docs \
	  $(INSTALLED)/ansible_collections/pasture/ollama
changelog-lint: dev ## antsibull-changelog on the fragments
	$(BIN)/antsibull-changelog lint

.PHONY: clean
clean: ## remove everything that was made here, the environment included
	rm -rf .venv .build .pasture .ansible .cache .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache tests/output
