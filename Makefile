# Everything a newcomer or CI runs. Needs python3 (3.11 or newer) and make; the rest is installed
# into .venv on first use, pinned and hashed by constraints/.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check format bench worlds mutants lock clean

PYTHON ?= python3
ARGS ?=
VENV := .venv
PEERS := .venv-peers
LOCKER := .venv-lock
BIN := $(VENV)/bin
INSTALL := -m pip --disable-pip-version-check install -qq --no-input
WORLDS ?= 20000
# The core is measured by the tests of its own floors; to trace all others would take minutes.
CORE := $(addprefix tests/,events handlers policy projections routing)
# Servers are killed and deadlines are met under load: what fails is told, and must pass by itself.
AGAIN := -m pytest --last-failed --last-failed-no-failures none

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  ARGS="..." is passed on: make demo ARGS="--json", make test ARGS="-k decide"'

demo: $(VENV)/.run ## ask the agent about the sample knowledge, step by step
	@$(BIN)/python -m stepfold demo $(ARGS)

test: $(VENV)/.dev ## the tests
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev ## format, lint, types, floors, tests, branches of the core: what CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/coverage run -m pytest $(CORE) $(ARGS) || $(BIN)/coverage run --append $(AGAIN)
	$(BIN)/coverage report
	@$(MAKE) test ARGS="$(addprefix --ignore=,$(CORE)) $(ARGS)" || $(BIN)/python $(AGAIN)

format: $(VENV)/.dev ## put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev $(PEERS)/.peers ## side by side with the peers, on this machine
	@$(BIN)/python -m bench --peers $(PEERS)/bin/python $(ARGS)

worlds: $(VENV)/.dev ## 20,000 seeded worlds that redeliver, reorder and fail
	@$(BIN)/python -m tests.worlds --worlds $(WORLDS) $(ARGS)

mutants: $(VENV)/.dev ## mutants of the core, and the survivors
	@$(BIN)/python -m tests.mutants $(ARGS)

LOCK = $(LOCKER)/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock" $(ARGS)

lock: $(LOCKER)/.lock ## pin constraints/ again (ARGS="--upgrade" for the newest versions)
	@$(LOCK) --group pyproject.toml:build -o constraints/build.txt >/dev/null
	@$(LOCK) pyproject.toml -c constraints/build.txt -o constraints/run.txt >/dev/null
	@$(LOCK) pyproject.toml --group pyproject.toml:dev \
		-c constraints/build.txt -c constraints/run.txt -o constraints/dev.txt >/dev/null
	@$(LOCK) --group pyproject.toml:peers -o constraints/peers.txt >/dev/null
	@$(LOCK) --group pyproject.toml:lock -o constraints/lock.txt >/dev/null

clean: ## remove what make has made
	rm -rf $(VENV) $(PEERS) $(LOCKER) dist mutants .coverage .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- environments: a stamp is newer than what it was installed from ------------

$(VENV)/.made $(PEERS)/.made $(LOCKER)/.made:
	@command -v $(PYTHON) >/dev/null || { \
		echo 'no $(PYTHON) on PATH: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is `$(PYTHON) -V`, stepfold needs 3.11 or newer; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(@D)
	@touch $@

$(VENV)/.run: constraints/build.txt constraints/run.txt pyproject.toml | $(VENV)/.made
	@echo 'installing what stepfold runs on into $(VENV)' >&2
	@$(BIN)/python $(INSTALL) --require-hashes -r constraints/build.txt -r constraints/run.txt
	@$(BIN)/python $(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: constraints/dev.txt $(VENV)/.run
	@echo 'installing what stepfold is tested with into $(VENV)' >&2
	@$(BIN)/python $(INSTALL) --require-hashes -r constraints/dev.txt
	@touch $@

$(PEERS)/.peers: constraints/peers.txt | $(PEERS)/.made
	@echo 'installing what stepfold is measured against into $(PEERS)' >&2
	@$(PEERS)/bin/python $(INSTALL) --require-hashes -r constraints/peers.txt
	@touch $@

$(LOCKER)/.lock: constraints/lock.txt | $(LOCKER)/.made
	@$(LOCKER)/bin/python $(INSTALL) --require-hashes -r constraints/lock.txt
	@touch $@
