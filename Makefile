# make demo       trains a CNN on handwritten digits
# make test       runs the test suite
# make test-long  runs the tests that it leaves out, of all networks and for TPUs
# make peers      compares with torch, torchvision, timm, Keras and others, which it installs
# make lint       formatting, lint, types
# make lock       renews the locked versions
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A universal lock of versions: pip takes from it what this Python needs.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
  --constraint requirements.lock --editable

.DEFAULT_GOAL := help
.PHONY: help demo test test-long peers lint lock clean

help:
	@sed -n 's/^# //p' Makefile

demo: $(VENV)/installed
	$(BIN)/python -m convscan.train.main --config=digits_lenet --workdir=runs/digits_lenet

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 $(TESTS)

test-long: $(VENV)/installed-tpu
	$(BIN)/python -m pytest -n 2 -m long $(TESTS)

peers: $(VENV)/installed-peers $(VENV)/installed-skypilot
	SKYPILOT_PYTHON="$(CURDIR)/$(VENV)/skypilot/bin/python" $(BIN)/python -m pytest -n 2 $(or $(TESTS),tests/peers)

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@# The checker finds the package by its name, whatever the checkout is called.
	@mkdir -p $(VENV)/typing && ln -sfn "$(CURDIR)" $(VENV)/typing/convscan
	cd $(VENV)/typing && MYPYPATH=. ../bin/mypy --config-file convscan/pyproject.toml \
	  -p convscan.architectures -p convscan.configs -p convscan.data -p convscan.train

lock: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --extra cuda --extra tpu --extra dev --no-annotate \
	  --no-header --python-version 3.11 pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "convscan needs Python 3.11 or newer: make PYTHON=python3.12 demo" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml requirements.lock
	@echo "installing into $(VENV) (a minute or two, once)"
	$(INSTALL) .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) '.[dev]'
	@touch $@

# The compiler for TPUs, which needs none.
$(VENV)/installed-tpu: $(VENV)/installed-dev
	$(INSTALL) '.[tpu]'
	@touch $@

$(VENV)/installed-peers: $(VENV)/installed-dev
	$(INSTALL) '.[peers]'
	@touch $@

# Apart, since it needs older packages than the peers do.
$(VENV)/installed-skypilot: $(BIN)/python Makefile
	$(BIN)/python -m venv $(VENV)/skypilot
	$(VENV)/skypilot/bin/python -m pip install --quiet --disable-pip-version-check \
	  skypilot==0.14.1
	@touch $@
