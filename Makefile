# Two commands do everything: `make quickstart` and `make test`. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
TORCH := 2.13.0
CPU_WHEELS := --extra-index-url https://download.pytorch.org/whl/cpu
# The CPU build where there is no NVIDIA GPU, unless pip was already told where its wheels are.
TORCH_SOURCE ?= $(if $(PIP_FIND_LINKS)$(shell command -v nvidia-smi),,$(CPU_WHEELS))

.PHONY: quickstart test nightly check lock clean

quickstart: .venv/ready
	$(BIN)/hala run recipes/quickstart.yaml

test: .venv/ready
	$(BIN)/python -m pytest

# What takes too long for every change: a translation killed 100 times, and the tests again.
nightly: .venv/ready
	HALA_KILLS=100 $(BIN)/python -m pytest --timeout 3600 tests/verbs/test_translate_kills.py tests/test_resume.py
	$(BIN)/python -m pytest

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/ready: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hala needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q torch==$(TORCH) $(TORCH_SOURCE)
	$(BIN)/pip install -q --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install -q --no-deps -e .
	touch .venv/ready

# Pins of everything but torch, whose build depends on the machine. Needs uv.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes -c constraints.txt \
	  --no-emit-index-url --no-annotate --no-header -o requirements.lock \
	  $$(sed -n 's/^# not locked: //p' constraints.txt | tr ' ' '\n' | sed 's/^/--no-emit-package /')

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
