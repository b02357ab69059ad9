# make run, make test, … each do all set-up by themselves: a virtual environment in .venv, filled once.
# Another interpreter: make test PYTHON=python3.12. More arguments: make run ARGS='experiment=NAME', make test ARGS='-k name'.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
N ?= 200
JOBS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# What a wheel is built from.
SOURCES := pyproject.toml README.md LICENSE cortexsnn circuits analysis configs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test lint format types fuzz cuda bench clean distclean

help:
	@echo "make setup       create $(VENV) and install cortexsnn with its test tools (done by every other target, too)"
	@echo "make run         the default experiment; ARGS='experiment=NAME key=value'"
	@echo "make test        lint, types and all tests; ARGS='-k name' for pytest"
	@echo "make lint        ruff check and ruff format --check;  make format repairs"
	@echo "make types       mypy on the built wheel"
	@echo "make fuzz N=200  random circuits on all engines"
	@echo "make cuda        generate and compile a CUDA program (needs nvcc and Python 3.12; downloads, takes minutes)"
	@echo "make bench NAME=name   benchmarks/name.py, result in benchmarks/results/name.json"
	@echo "make clean       remove build products and caches;  make distclean also $(VENV)"

setup: $(STAMP)

# Build tools first: the editable install and the wheels then need no isolated build environment, so the pins hold for them.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "cortexsnn needs Python 3.11 or newer; '$(PYTHON)' is missing or older. Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	    { echo "'$(PYTHON)' cannot create virtual environments: its venv or ensurepip module is missing." >&2; \
	      echo "On Debian and Ubuntu: apt-get install python3-venv. Or name another interpreter: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet -c constraints.txt setuptools wheel
	$(PIP) install --quiet --no-build-isolation -c constraints.txt -e '.[test]'
	@touch $@

run: setup
	$(BIN)/cortexsnn $(ARGS)

# One thread per test process: two processes with two threads each are slower on two cores than one thread each.
test: lint types
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Type checkers cannot follow the editable install, so the wheel is checked. It is built from a copy: a build/ folder
# left in the checkout would keep modules that were deleted since.
types: setup
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && mkdir "$$tmp/source" "$$tmp/installed" && \
	cp -R $(SOURCES) "$$tmp/source" && \
	$(PIP) wheel --quiet --no-deps --no-build-isolation -w "$$tmp/wheel" "$$tmp/source" && \
	$(PIP) install --quiet --no-deps --target "$$tmp/installed" "$$tmp"/wheel/*.whl && \
	cd "$$tmp/installed" && "$(abspath $(BIN))/mypy" --config-file "$(CURDIR)/pyproject.toml" \
	    --cache-dir "$(CURDIR)/.mypy_cache" -p cortexsnn

fuzz: setup
	CORTEXSNN_FUZZ=$(N) CORTEXSNN_CYTHON=1 $(BIN)/pytest --hypothesis-profile=default tests/agreement tests/published/test_hand_worked.py $(ARGS)

cuda: setup
	CORTEXSNN_CUDA=1 $(BIN)/pytest tests/agreement/test_cuda.py -v -rs $(ARGS)

bench: setup
	@test -n "$(NAME)" || { echo "Which benchmark? make bench NAME=…, one of:" >&2; ls benchmarks/*.py >&2; exit 2; }
	@mkdir -p benchmarks/results
	$(BIN)/python benchmarks/$(NAME).py $(ARGS)
	@test -f benchmarks/results/$(NAME).json || { echo "benchmarks/$(NAME).py left no benchmarks/results/$(NAME).json" >&2; exit 1; }

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -not -path './.venv*' -not -path './.git/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
