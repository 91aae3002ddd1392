# `make demo` and `make test` set up everything they need, from a clean checkout. They need
# Python 3.11 or newer (with pip and venv), make and git.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Our distributions are found by glob, so that a new plugin is not listed here.
PYPROJECTS := $(sort $(wildcard core/pyproject.toml plugins/*/*/pyproject.toml))
OURS := $(PYPROJECTS:/pyproject.toml=)
# A user's pip settings must not change what is installed or where. Index, proxy, certificates and
# cache remain theirs. PIP_USER=0 also overrides `user = true` in a pip.conf.
PIP := env $(foreach name,BUILD_CONSTRAINT CONSTRAINT DRY_RUN NO_BINARY ONLY_BINARY PREFIX PYTHON \
	REQUIRE_HASHES REQUIRE_VIRTUALENV ROOT TARGET,-u PIP_$(name)) PIP_USER=0 \
	$(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --no-deps --no-build-isolation
# Uninstalling first removes plugins whose folder is gone, for example on another branch.
INSTALL_OURS = $(PIP) list --editable --format=freeze | cut -d= -f1 \
	| xargs -r $(PIP) uninstall -qq --yes && $(INSTALL) $(addprefix --editable ,$(OURS))

# Tests start hundreds of processes: without bytecode files, each would compile its imports.
unexport PYTHONDONTWRITEBYTECODE

# Two pip processes would break the environment.
.NOTPARALLEL:
.PHONY: help demo test lint types unit format reference dist lock clean
help:
	@echo "make demo       measure a real model on this machine (about 5 minutes)"
	@echo "make test       lint, check types and run every test"
	@echo "make lint | types | unit    parts of make test"
	@echo "make format     fix what ruff can fix, and format"
	@echo "make reference  write docs/reference from docstrings"
	@echo "make dist       build all distributions and test them in clean environments"
	@echo "make lock       pin third-party packages in requirements/"
	@echo "make clean      delete the environment"

demo: $(VENV)/.run $(VENV)/.native
	@$(BIN)/bench run suites/demo.yaml

test: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev $(VENV)/.native
	@# Without reordering: xdist would start slow files with few tests last.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not serial"
	$(BIN)/python -m pytest -m serial

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: $(VENV)/.dev
	$(BIN)/python tools/reference.py

dist: $(VENV)/.dev
	$(BIN)/python tools/dist.py

lock: $(VENV)/.python
	$(PIP) install -qq uv
	$(BIN)/python tools/lock.py

clean:
	rm -rf $(VENV)

# The environment is built in steps. Each step ends by touching its stamp file.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
		"error: Python 3.11 or newer is required\nhint: make PYTHON=python3.13 demo")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# Changes when a folder is added or removed, however old its files are.
$(VENV)/.ours: $(VENV)/.python FORCE
	@test "$$(cat $@ 2>/dev/null)" = "$(OURS)" || echo "$(OURS)" > $@

$(VENV)/.build: $(VENV)/.python requirements/build.txt
	@echo "installing build backends ..."
	@$(INSTALL) --require-hashes -r requirements/build.txt
	@touch $@

# Skips run.txt where dev.txt, which holds the same pins, is already installed.
$(VENV)/.run: $(VENV)/.build $(VENV)/.ours requirements/run.txt $(PYPROJECTS)
	@test $(VENV)/.dev -nt $(VENV)/.build && test $(VENV)/.dev -nt requirements/run.txt \
		|| { echo "installing run-time packages ..."; \
		$(INSTALL) --require-hashes -r requirements/run.txt; }
	@$(INSTALL_OURS)
	@touch $@ $(VENV)/.native

$(VENV)/.dev: $(VENV)/.build $(VENV)/.ours requirements/dev.txt $(PYPROJECTS)
	@echo "installing development packages ..."
	@# Compiling every module here would take longer than compiling the imported ones later.
	@$(INSTALL) --no-compile --require-hashes -r requirements/dev.txt
	@$(INSTALL_OURS)
	@touch $@ $(VENV)/.run $(VENV)/.native

$(VENV)/.native: core/setup.py core/src/tokenbench/load/_native.c
	@echo "compiling the C extension ..."
	@$(INSTALL) --editable core
	@touch $@

FORCE:
