# Every target sets up what it needs on a machine with Python >= 3.11, pip and make. Start with: make demo

VENV      ?= .venv
PYTHON    ?=
# Outside the tree, so that clones share it and `git clean` does not cost a download.
CACHE     ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stream-infer
VERSITYGW_VERSION := v1.8.0
VERSITYGW := $(CACHE)/bin/versitygw
TOXIPROXY_VERSION := v2.12.0
TOXIPROXY := $(CACHE)/bin/toxiproxy-server
PROMETHEUS := $(CACHE)/bin/prometheus
ASYNCAPI_SPECS := 6.11.1
ASYNCAPI_SHA256 := 01af8744dc33c0c7eb2e908f6a955319ee58b70ecadc9387d1aeb16c0cd28928
ASYNCAPI := $(CACHE)/asyncapi/3.0.0.json
# What the chart and the compose file are checked with, and whose definitions of resources they are checked by.
HELM_VERSION           := v3.22.0
HELM_UNITTEST_VERSION  := v1.1.2
KUBECONFORM_VERSION    := v0.8.0
KUBE_SCORE_VERSION     := v1.20.0
COMPOSE_VERSION        := v2.16.2
KUBERNETES_VERSION     := v1.36.3
KEDA_VERSION           := v2.21.0
OPERATOR_VERSION       := v0.85.0
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
CHECKED   := stream_infer connectors $(wildcard examples benchmarks docs_made deploy/*.py deploy/monitoring)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test soak check format bench guard sbom lock generated clean versitygw toxiproxy prometheus chromium \
        curl kcat npm connect sagemaker-sdk asyncapi docs pictures chart-tools kubernetes

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.dev ## create .venv with everything a developer needs

demo: $(VENV)/.demo ## real pictures through a real model and a real Kafka, here
	$(PY) -m examples.image_classifier.demo

# Most of a test is waiting: for Kafka, for a session to end. So three run at a time, each with a broker of its own (measured:
# of two on two cores, these stood still for 60% of the time).
test: $(VENV)/.dev versitygw toxiproxy prometheus chromium curl kcat connect sagemaker-sdk asyncapi chart-tools kubernetes ## all four kinds of tests
	$(PY) -m pytest tests -n 3 --dist loadfile

# ITEMS=, SEED=, DURATION=, BROKERS=, FAULTS=, EVERY=, ONLY=: docs/soak.md says what they mean.
soak: $(VENV)/.dev versitygw toxiproxy ## poison and faults for some ten minutes, and every item counted
	@$(PY) -m tests.soak

check: $(VENV)/.dev ## lint, format, types, the direction of the imports, bandit
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict $(CHECKED)
	$(VENV)/bin/lint-imports
	$(VENV)/bin/bandit --quiet --configfile pyproject.toml --recursive stream_infer connectors

format: $(VENV)/.dev ## rewrite the sources as ruff wants them
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(VENV)/.dev ## build the site of docs/ into build/docs; open build/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict

# BENCH="null --only quix", "latency --rounds 5", ...: `python -m benchmarks --help` says what there is.
bench: $(VENV)/.dev $(PEERS)/.ready versitygw ## everything beside loops by hand and other frameworks, half an hour
	$(PY) -m benchmarks $(BENCH)

guard: $(VENV)/.dev ## fail where the worker is slower than 0.8 of a loop by hand, a minute
	$(PY) -m benchmarks guard

# Of what the base install runs with; the wheels' hashes are in it. Made again from the same lock it is the same file.
sbom: $(VENV)/.dev ## write dist/sbom.json: what stream-infer is made of (CycloneDX)
	@mkdir -p dist
	$(VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible \
	  --of JSON -o dist/sbom.json requirements/base.txt

pictures: $(VENV)/.dev chromium ## take the docs' pictures of the web page anew
	STREAM_INFER_PICTURES="$(CURDIR)/docs/pictures" $(PY) -m pytest -q tests/integration/test_page_pictures.py

generated: $(VENV)/.dev ## write anew what of docs/, deploy/ and helm/ follows from the code
	$(PY) -m docs_made
	$(PY) -m deploy.monitoring
	$(PY) -m deploy.generated

lock: $(VENV)/.uv ## resolve requirements/*.txt anew (UPGRADE=--upgrade for newer versions)
	$(COMPILE) --all-extras --group dev -o requirements/dev.txt
	$(COMPILE) --extra torch --extra local --extra examples -c requirements/dev.txt -o requirements/demo.txt
	$(COMPILE) -c requirements/dev.txt -o requirements/base.txt
	$(COMPILE) --extra parquet --extra otel -c requirements/dev.txt -o requirements/control.txt
	$(COMPILE) --extra torch --extra parquet --extra mlflow --extra gpu --extra otel -c requirements/dev.txt -o requirements/worker.txt
	echo hatchling | $(UV) pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url $(UPGRADE) -o requirements/build.txt
	for lock in base control worker build demo dev; do \
	  grep -v '^# Made by' requirements/$$lock.txt > requirements/new && \
	  { echo '# Made by: make lock'; cat requirements/new; } > requirements/$$lock.txt; done; rm requirements/new
	$(UV) pip compile benchmarks/peers/requirements.in --quiet --universal --python-version 3.11 --no-header \
	  --no-emit-index-url --no-emit-find-links $(UPGRADE) -o benchmarks/peers/requirements.txt
	$(UV) pip compile tests/sagemaker_sdk/requirements.in --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-emit-index-url --no-emit-find-links $(UPGRADE) -o tests/sagemaker_sdk/requirements.txt

clean: ## remove what the targets made inside the tree
	rm -rf $(VENV) .stream-infer .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Servers of the tests. Without Go the tests do with less or are skipped; in CI these must be there.
versitygw: # S3
	$(call build_with_go,$(VERSITYGW),github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION))

toxiproxy: # between a client and its server: slow, cut, reset
	$(call build_with_go,$(TOXIPROXY),github.com/Shopify/toxiproxy/v2/cmd/server@$(TOXIPROXY_VERSION))

# What reads our metrics, and its checker: Debian's package, unpacked beside the others (`go install` refuses its module).
prometheus:
	@if [ -x "$(PROMETHEUS)" ] || { command -v prometheus && command -v promtool; } >/dev/null 2>&1; then :; \
	elif command -v apt-get >/dev/null 2>&1; then \
	  echo "unpacking Debian's prometheus into $(dir $(PROMETHEUS)) (once)"; \
	  mkdir -p "$(dir $(PROMETHEUS))" && new=$$(mktemp -d "$(dir $(PROMETHEUS))new.XXXXXX") && \
	  { cd "$$new" && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } && \
	    dpkg -x prometheus_*.deb . && mv usr/bin/promtool usr/bin/prometheus ..; \
	    rc=$$?; cd ..; rm -rf "$$new"; [ $$rc = 0 ] || [ -z "$$CI" ] || exit $$rc; }; \
	elif [ -n "$$CI" ]; then echo "make: CI needs prometheus and promtool on the PATH, or apt-get" >&2; exit 1; fi

# Of the tests of the web page, of the pages of docs/ and of Kafka's tools, and npm for what `asyncapi` fetches. Packages of the system: installed unasked in CI
# alone, elsewhere those tests are skipped.
chromium curl kcat npm:
	@if command -v $@ >/dev/null 2>&1; then :; \
	elif [ -n "$$CI" ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "installing $@ (once, up to some minutes)"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $@ >/dev/null; \
	elif [ -n "$$CI" ]; then echo "make: CI needs $@ on the PATH, or apt-get" >&2; exit 1; \
	else echo "$@ is not installed here: tests that need it are skipped (apt-get install $@)"; fi

# Kafka Connect, its Iceberg sink and Kafka's console tools, 102 MB beside the broker's own jars. Without a network those
# tests are skipped; in CI these must be there.
connect: $(VENV)/.dev
	@$(PY) -m tests.support.connect_jars || [ -z "$$CI" ]

# SageMaker's Python SDK and some 60 packages that nothing of ours needs, in an environment of its own. Without a network its
# test is skipped; in CI it must be there.
sagemaker-sdk: $(VENV)/.dev
	@$(PY) -m tests.support.sagemaker_sdk || [ -z "$$CI" ]

# AsyncAPI's own schema, which docs/asyncapi.yaml is checked by. npm checks what it fetches; the hash is of the whole package.
asyncapi:
	@[ -f "$(ASYNCAPI)" ] || $(MAKE) --no-print-directory npm
	@if [ -f "$(ASYNCAPI)" ]; then :; \
	elif command -v npm >/dev/null 2>&1; then \
	  echo "fetching AsyncAPI's schema into $(dir $(ASYNCAPI)) (once)"; \
	  mkdir -p "$(dir $(ASYNCAPI))" && new=$$(mktemp -d "$(dir $(ASYNCAPI))new.XXXXXX") && \
	  { (cd "$$new" && npm pack --silent @asyncapi/specs@$(ASYNCAPI_SPECS) >/dev/null && \
	      echo "$(ASYNCAPI_SHA256)  asyncapi-specs-$(ASYNCAPI_SPECS).tgz" | sha256sum --check --quiet && \
	      tar -xzf asyncapi-specs-$(ASYNCAPI_SPECS).tgz package/schemas/3.0.0.json) && \
	    mv "$$new/package/schemas/3.0.0.json" "$(ASYNCAPI)"; \
	    rc=$$?; rm -rf "$$new"; [ $$rc = 0 ] || [ -z "$$CI" ] || exit $$rc; }; \
	fi

# Of deploy/ and helm/: without Go their tests are skipped; in CI these must be there.
chart-tools:
	$(call build_with_go,$(CACHE)/bin/helm,helm.sh/helm/v3/cmd/helm@$(HELM_VERSION))
	$(call build_with_go,$(CACHE)/bin/kubeconform,github.com/yannh/kubeconform/cmd/kubeconform@$(KUBECONFORM_VERSION))
	$(call build_with_go,$(CACHE)/bin/kube-score,github.com/zegl/kube-score/cmd/kube-score@$(KUBE_SCORE_VERSION))
	$(call build_with_go,$(CACHE)/bin/compose-spec,github.com/compose-spec/compose-go/v2/cmd@$(COMPOSE_VERSION))
	$(call build_module,$(CACHE)/bin/helm-unittest,github.com/helm-unittest/helm-unittest@$(HELM_UNITTEST_VERSION),./cmd/helm-unittest)

kubernetes: # what resources there are, for kubeconform
	@if [ -f "$(CACHE)/kubernetes/swagger.json" ]; then :; \
	elif command -v go >/dev/null 2>&1; then \
	  echo "fetching the definitions of Kubernetes' resources into $(CACHE)/kubernetes (once, up to a minute)"; \
	  mkdir -p "$(CACHE)" && sh deploy/fetch_schemas.sh "$(CACHE)/kubernetes" $(KUBERNETES_VERSION) $(KEDA_VERSION) $(OPERATOR_VERSION) \
	    || [ -z "$$CI" ]; \
	elif [ -n "$$CI" ]; then echo "make: CI needs Go on the PATH to fetch Kubernetes' definitions" >&2; exit 1; fi

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

# The same for a module whose go.mod replaces others, which `go install` refuses: $(1) from the package $(3) of the module $(2)
define build_module
	@if [ -x "$(1)" ]; then :; \
	elif command -v go >/dev/null 2>&1; then \
	  echo "building $(notdir $(1)) from $(2) into $(dir $(1)) (once, up to a minute)"; \
	  mkdir -p "$(dir $(1))" && new=$$(mktemp -d "$(dir $(1))new.XXXXXX") && \
	  { from=$$(go mod download -json $(2) | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$$/\1/p') && \
	    cp -R "$$from" "$$new/source" && chmod -R u+w "$$new/source" && \
	    (cd "$$new/source" && go build -o "$(1)" $(3)); \
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
