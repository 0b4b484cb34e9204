# Every target sets up what it needs on a machine with Python >= 3.11, pip and make. Start with: make demo

VENV      ?= .venv
PYTHON    ?=
# Outside the tree, so that clones share it and `git clean` does not cost a download.
CACHE     ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stream-infer
VERSITYGW_VERSION := v1.8.0
VERSITYGW := $(CACHE)/bin/versitygw
TOXIPROXY_VERSION := v2.12.0
TOXIPROXY := $(CACHE)/bin/toxiproxy-server
# What `make bench` measures beside us, in an environment of its own.
PEERS     := $(CACHE)/bench-peers
UPGRADE   ?=

# Behind a company's proxy the machine's certificates count, not those that uv brings along.
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),true,false)

# Measured where this is set: importing torch takes 13.6 s instead of 4.4 s, in every process that does.
unexport PYTHONDONTWRITEBYTECODE

PY        := $(VENV)/bin/python
UV        := $(VENV)/bin/uv
# Compiled once at install: every role is a process of its own, and would else compile all it imports at each start.
INSTALL   := $(UV) pip install --quiet --compile-bytecode --python $(PY)
COMPILE   := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
             --no-header --no-emit-index-url --no-emit-find-links $(UPGRADE)
CHECKED   := stream_infer connectors $(wildcard examples benchmarks docs_made)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test soak check format bench guard lock clean versitygw toxiproxy

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.dev ## create .venv with everything a developer needs

demo: $(VENV)/.demo ## real pictures through a real model and a real Kafka, here
	$(PY) -m examples.image_classifier.demo

# Most of a test is waiting: for Kafka, for a session to end. So two run at a time, each with a broker of its own.
test: $(VENV)/.dev versitygw toxiproxy ## all four kinds of tests
	$(PY) -m pytest tests -n 2 --dist loadfile

# ITEMS=, SEED=, DURATION=, BROKERS=, FAULTS=, EVERY=, ONLY=: docs/soak.md says what they mean.
soak: $(VENV)/.dev versitygw toxiproxy ## poison and faults for some ten minutes, and every item counted
	@$(PY) -m tests.soak

check: $(VENV)/.dev ## lint, format, types, the direction of the imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict $(CHECKED)
	$(VENV)/bin/lint-imports

format: $(VENV)/.dev ## rewrite the sources as ruff wants them
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

.PHONY: docs generated
docs: $(VENV)/.dev ## build the site of docs/ into build/docs; open build/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict

generated: $(VENV)/.dev ## write anew what of docs/ follows from the code
	$(PY) -m docs_made

# BENCH="null --only quix", "latency --rounds 5", ...: `python -m benchmarks --help` says what there is.
bench: $(VENV)/.dev $(PEERS)/.ready versitygw ## everything beside loops by hand and other frameworks, half an hour
	$(PY) -m benchmarks $(BENCH)

guard: $(VENV)/.dev ## fail where the worker is slower than 0.8 of a loop by hand, a minute
	$(PY) -m benchmarks guard

lock: $(VENV)/.uv ## resolve requirements/*.txt anew (UPGRADE=--upgrade for newer versions)
	$(COMPILE) --all-extras --group dev -o requirements/dev.txt
	$(COMPILE) --extra torch --extra local --extra examples -c requirements/dev.txt -o requirements/demo.txt
	$(COMPILE) -c requirements/dev.txt -o requirements/base.txt
	for lock in base demo dev; do \
	  grep -v '^# Made by' requirements/$$lock.txt > requirements/new && \
	  { echo '# Made by: make lock'; cat requirements/new; } > requirements/$$lock.txt; done; rm requirements/new
	$(UV) pip compile benchmarks/peers/requirements.in --quiet --universal --python-version 3.11 --no-header \
	  --no-emit-index-url --no-emit-find-links $(UPGRADE) -o benchmarks/peers/requirements.txt

clean: ## remove what the targets made inside the tree
	rm -rf $(VENV) .stream-infer .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Servers of the tests. Without Go the tests do with less or are skipped; in CI these must be there.
versitygw: # S3
	$(call build_with_go,$(VERSITYGW),github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION))

toxiproxy: # between a client and its server: slow, cut, reset
	$(call build_with_go,$(TOXIPROXY),github.com/Shopify/toxiproxy/v2/cmd/server@$(TOXIPROXY_VERSION))

# $(1) from the one command of the Go module $(2), unless it is there
define build_with_go
	@if [ -x "$(1)" ]; then :; \
	elif command -v go >/dev/null 2>&1; then \
	  echo "building $(notdir $(1)) from $(2) into $(dir $(1)) (once, up to a minute)"; \
	  mkdir -p "$(dir $(1))" && new=$$(mktemp -d "$(dir $(1))new.XXXXXX") && \
	  { GOBIN="$$new" go install $(2) && mv "$$new"/* "$(1)"; \
	    rc=$$?; rm -rf "$$new"; [ $$rc = 0 ] || [ -z "$$CI" ] || exit $$rc; }; \
	elif [ -n "$$CI" ]; then echo "make: CI needs Go on the PATH to build $(notdir $(1))" >&2; exit 1; fi
endef

# The stamps: each depends on its lock, so a second run costs nothing.
$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/.uv
	$(INSTALL) --require-hashes -r requirements/dev.txt
	$(INSTALL) --no-deps -e .
	@touch $(VENV)/.demo $@

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/.uv
	$(INSTALL) --require-hashes -r requirements/demo.txt
	$(INSTALL) --no-deps -e .
	@touch $@

$(PEERS)/.ready: benchmarks/peers/requirements.txt | $(VENV)/.uv
	@mkdir -p "$(PEERS)"
	$(UV) venv --quiet --allow-existing --python $(PY) "$(PEERS)"
	$(UV) pip install --quiet --compile-bytecode --python "$(PEERS)/bin/python" -r benchmarks/peers/requirements.txt
	@touch "$@"

$(VENV)/.uv: requirements/uv.txt requirements/make-venv.sh
	PYTHON="$(PYTHON)" sh requirements/make-venv.sh $(VENV) requirements/uv.txt
	@touch $@
