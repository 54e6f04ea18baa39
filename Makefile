# Everything a developer does here. Needs Python 3.10 or newer, git and make; the rest is installed.

PYTHON ?= python3
BIN := .venv/bin
PACKAGE := .venv/.package
DEV := .venv/.dev
NATIVE := $(wildcard native/*/*.[ch] native/*/*/*.[ch])
WEB_SOURCES := $(shell find web -name node_modules -prune -o -type f -print) docs/sql.md
WEB_TOOLS := web/node_modules/.package-lock.json
DASHBOARD := src/ggml_viz/server/dashboard/index.html
# Node.js comes from PyPI, with the dev extra.
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix web
C_SOURCES := $(NATIVE) $(wildcard tests/*/*.[ch] tests/*/*/*.[ch] bench/*.[ch])

.PHONY: help demo test lint format bench screenshots compatibility fuzz native web wheels clean

help:
	@echo 'make demo     record a real language model and report'
	@echo 'make test     lint, build, and run every test'
	@echo 'make lint     check style and types'
	@echo 'make format   put the sources into shape'
	@echo 'make native   build the native libraries into the checkout'
	@echo 'make web      build the dashboard into the checkout'
	@echo 'make wheels   build the packages of a release into dist'
	@echo 'make bench    measure what capturing costs'
	@echo 'make screenshots   take the pictures of the documentation'
	@echo 'make fuzz     try a million hostile traces; takes about an hour'
	@echo 'make compatibility   try real programs of all ages and make the table in README.md'

demo: $(PACKAGE)
	$(BIN)/ggml-viz demo

# pytest comes last: its summary is the result. Windows have a process of their own: their libraries outlive them.
test: lint native web
	$(NPM) run --silent test
ifeq ($(strip $(PYTEST_ARGS)),)
	$(BIN)/python -m pytest tests/integration/test_desktop_*.py
	$(BIN)/python -m pytest --ignore-glob='*/integration/test_desktop_*'
else
	$(BIN)/python -m pytest $(PYTEST_ARGS)
endif

lint: $(DEV) $(WEB_TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin --exclude 'system/(linux|windows.*)\.py' src
	$(BIN)/mypy --platform win32 --exclude 'system/(linux|posix|macos)\.py' src
	$(BIN)/clang-format --dry-run -Werror $(C_SOURCES)
	$(NPM) run --silent lint
	$(BIN)/zizmor --quiet --offline --pedantic .github
	$(BIN)/jactionlint --profile correctness --strict-exit --shellcheck=

format: $(DEV) $(WEB_TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_SOURCES)
	$(NPM) run --silent format

bench: $(DEV) native
	$(BIN)/python -m bench $(BENCH_ARGS)

screenshots: $(DEV) native web
	$(BIN)/python -m tools.screenshots

# Fetches about 90 MB beyond what the tests fetch, and takes some minutes when all is there: old programs wait in loops.
compatibility: $(DEV) native
	$(BIN)/python -m tests.compatibility --update-readme $(COMPATIBILITY_ARGS)

fuzz: $(DEV) native
	$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

# The compiler keeps what has not changed: always asking is quick.
native: $(DEV)
	$(BIN)/python hatch_build.py

web: $(DASHBOARD)

$(DASHBOARD): $(WEB_SOURCES) $(WEB_TOOLS)
	$(NPM) run build

# The wheels of every system and the source archive, the same from the same commit wherever they are built.
wheels: $(DEV) web
	rm -rf dist
	$(BIN)/python -m tools.wheels dist
	$(BIN)/twine check --strict dist/*

$(WEB_TOOLS): web/package-lock.json | $(DEV)
	$(NPM) ci
	touch $@

clean:
	rm -rf .venv build dist src/ggml_viz/_native src/ggml_viz/server/dashboard web/node_modules

$(BIN)/python:
	tools/make-venv $(PYTHON) .venv

# Only what a user has.
$(PACKAGE): pyproject.toml hatch_build.py $(NATIVE) | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable .
	touch $@

# And what the tests and the linters need.
$(DEV): pyproject.toml hatch_build.py | $(BIN)/python
	tools/need-commands g++:g++ cmake:cmake ninja:ninja-build chromium:chromium tmux:tmux prometheus:prometheus Xvfb:xvfb \
		/usr/lib/wine/wine64:wine64 qemu-aarch64-static:qemu-user-static /lib/ld-musl-$(shell uname -m).so.1:musl
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]'
	touch $@ $(PACKAGE)
