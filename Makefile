# Two commands matter: `make demo` shows it, `make test` proves it. Each installs what it needs.
SHELL := /bin/bash
PARTS := tests/parts/parts
BIN := .venv/bin
.DEFAULT_GOAL := help
.NOTPARALLEL:
# Images of Python often set this; without bytecode every process compiles all that it imports, which is a third of `make check`.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo test check lint docs package pin format setup parts stop clean

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: setup ## build a real image and a bundle, and say what happens
	@$(PARTS) run examples/hello/demo

test: setup ## run every test, with a real engine and a real registry (ARGS="-k word" for some)
	@PARTS_MULTI=1 $(PARTS) run $(BIN)/pytest tests -n 2 --dist loadfile --hypothesis-profile=full $(ARGS)

# One process more than cores: some tests wait for time to pass.
check: setup ## what needs no engine: lint, types, layers, quick tests (under a minute)
	@mkdir -p .cache/logs; $(MAKE) --no-print-directory lint >.cache/logs/lint.log 2>&1 & lint=$$!; \
	$(BIN)/pytest -m "not real" -q -n $$(($$(nproc) + 1)) $(ARGS); tests=$$?; \
	wait $$lint; lint=$$?; cat .cache/logs/lint.log; exit $$((lint | tests))

lint: setup ## style, types and layers only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@if [ -x $(BIN)/shellcheck ]; then $(BIN)/shellcheck -x $(PARTS) tests/parts/workflows tests/parts/package tests/parts/lib/*.sh images/install.sh .ci/run; fi
	@tests/parts/workflows

docs: setup ## write docs/reference from the code
	@$(BIN)/python docs/generate.py

package: setup ## build sdist and wheel into dist/, and test the wheel alone
	@tests/parts/package $(ARGS)

pin: setup ## write the digests of our images' bases into images/bases.Dockerfile
	@$(BIN)/python images/pin.py

format: setup ## put the code in its standard form
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

setup: ## make the Python environment .venv
	@$(PARTS) venv

parts: setup ## start the engine, the registry and the base image, and keep them
	@PARTS_MULTI=1 $(PARTS) start

stop: ## stop what `make parts` started
	@$(PARTS) stop

clean: ## stop, and remove everything that was made here
	@$(PARTS) clean
	@rm -rf .venv .cache
