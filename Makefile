# Two commands do all the set-up: `make demo` and `make test`. Both work from a clean checkout on a
# machine that has Python (3.11 or newer, with pip and venv), make and git.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Folders of our own distributions: a new plugin is found here, and listed nowhere.
# A folder without a pyproject is what a branch with one more plugin left behind.
PYPROJECTS := $(sort $(wildcard core/pyproject.toml plugins/*/*/pyproject.toml))
OURS := $(PYPROJECTS:/pyproject.toml=)
# What is compiled when core is installed.
COMPILED := core/setup.py core/src/tokenbench/load/_native.c
# A user's pip settings must not change what is installed or where; index, proxy, certificates and
# cache stay theirs. PIP_USER=0 also overrules `user = true` in a pip.conf.
PIP := env $(foreach name,BUILD_CONSTRAINT CONSTRAINT DRY_RUN NO_BINARY ONLY_BINARY PREFIX PYTHON \
	REQUIRE_HASHES REQUIRE_VIRTUALENV ROOT TARGET,-u PIP_$(name)) PIP_USER=0 \
	$(BIN)/python -m pip --disable-pip-version-check -qq
PINNED := install --no-deps --no-build-isolation --require-hashes
EDITABLE = $(foreach folder,$(OURS),--editable $(folder))

# The tests start hundreds of processes: what they import is compiled once, not by each.
unexport PYTHONDONTWRITEBYTECODE

# Two of pip in one environment at a time would break it.
.NOTPARALLEL:
.PHONY: help demo test lint types unit format reference dist lock clean
help:
	@echo "make demo    set up, then measure a real model on this machine (about 5 minutes)"
	@echo "make test    set up, then lint, type check and run every test"
	@echo "make lint | types | unit | format    parts of it"
	@echo "make dist    build all distributions and try the wheels in a clean environment"
	@echo "make reference    write docs/reference from docstrings"
	@echo "make lock    pin third-party packages anew    make clean    remove the environment"

demo: $(VENV)/.run $(VENV)/.built
	@$(BIN)/bench run suites/demo.yaml

test: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev $(VENV)/.built
	@$(BIN)/python tools/tests.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment, in steps. Each ends with a stamp, so a step that was cut is done again.
# The stamp of the first names the interpreter: another PYTHON makes another environment.
$(VENV)/.python: FORCE
	@$(PYTHON) tools/environment.py $(VENV)

# Changes when a folder comes or goes, however old its files are.
$(VENV)/.ours: $(VENV)/.python FORCE
	@test "$$(cat $@ 2>/dev/null)" = "$(OURS)" || echo "$(OURS)" > $@

$(VENV)/.build: $(VENV)/.python requirements/build.txt
	@echo "installing what builds the packages ..."
	@$(PIP) $(PINNED) -r requirements/build.txt
	@touch $@

$(VENV)/.run: $(VENV)/.build $(VENV)/.ours requirements/run.txt $(PYPROJECTS)
	@test -e $(VENV)/.dev && test $(VENV)/.dev -nt $(VENV)/.build \
		&& test $(VENV)/.dev -nt requirements/run.txt \
		|| { echo "installing what a run needs ..."; \
		$(PIP) $(PINNED) -r requirements/run.txt; }
	@$(PIP) install --no-deps --no-build-isolation $(EDITABLE)
	@touch $@ $(VENV)/.built

$(VENV)/.dev: $(VENV)/.build $(VENV)/.ours requirements/dev.txt $(PYPROJECTS)
	@echo "installing what the tests need ..."
	@# What is imported is compiled then; the rest of it would take as long as ten tests.
	@$(PIP) $(PINNED) --no-compile -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation $(EDITABLE)
	@touch $@ $(VENV)/.run $(VENV)/.built

$(VENV)/.built: $(COMPILED)
	@echo "compiling the C extension ..."
	@$(PIP) install --no-deps --no-build-isolation --editable core
	@touch $@

reference: $(VENV)/.dev
	@$(BIN)/python tools/reference.py

dist: $(VENV)/.dev
	@$(BIN)/python tools/dist.py

lock: $(VENV)/.python
	@$(PIP) install uv
	$(BIN)/python tools/lock.py

clean:
	rm -rf $(VENV)

FORCE:
