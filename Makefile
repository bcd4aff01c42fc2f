# Two commands set everything up on a machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8080
SOURCES := sidecar tests benchmarks helm supply monitoring image

.DEFAULT_GOAL := help
.PHONY: battery bench chart-files help demo test check format lint types lock test-chart test-real test-sdk soak clean dashboard test-alerts test-browser fuzz test-differential coverage mutants
.PHONY: version release sbom wheel audit test-supply test-apiserver
.PHONY: image test-image test-pod
.PHONY: outage test-faults

help: ## What can be made here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(VENV)/.installed ## An eGain stand-in with the sidecar in front of it; prints curl lines that work (PORT=8080)
	$(BIN)/auth-sidecar demo --port $(PORT)

test: $(VENV)/.installed ## Run the tests
	$(BIN)/python -m pytest

battery: $(VENV)/.installed ## What a proxy must withstand, line by line (FILE=tests/battery/test_paths.py, QUICK=1, REST=1)
	$(BIN)/python -m pytest -m "$(if $(REST),battery and not volume,$(if $(QUICK),not volume,battery or not battery))" $(or $(FILE),tests/battery)

check: format lint types test ## Format, lint, types, tests; CI runs this and a few suites more (.ci/run)

format: $(VENV)/.installed ## Check the format (mend it with FIX=1)
	$(BIN)/ruff format $(if $(FIX),,--check) $(SOURCES)

lint: $(VENV)/.installed ## Lint
	$(BIN)/ruff check $(if $(FIX),--fix) $(SOURCES)

types: $(VENV)/.installed ## Type check
	$(BIN)/mypy

lock: ## Write the hashed locks anew from pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--upgrade pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--upgrade --extra dev pyproject.toml -o requirements-dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--upgrade supply/tools.in -o supply/tools.txt
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml | uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --upgrade - -o requirements-build.txt

test-real: $(VENV)/.installed ## Against real authorization servers and eGain's SDK; installs what it needs
	tests/real/install
	$(BIN)/python -m pytest -m real tests/real

test-sdk: $(VENV)/.installed ## eGain's own SDK through the sidecar with generated route maps; installs the SDK
	tests/real/install sdk
	$(BIN)/python -m pytest -m real tests/real/test_sdk.py tests/real/test_sdk_map.py

test-browser: $(VENV)/.installed ## People sign in with a real browser; installs Chromium. Pictures: .browser/screenshots
	tests/browser/install
	$(BIN)/python -m pytest -m browser tests/browser

test-chart: $(VENV)/.installed ## The Helm chart and the kustomize base with both Helms; installs what it needs
	tests/chart/install
	$(BIN)/python -m pytest -m chart tests/chart

chart-files: $(VENV)/.installed ## Write the chart's values.schema.json and its README's table anew
	$(BIN)/python -m helm.values_schema
	$(BIN)/python -m helm.readme

image: ## The container image, with buildah, podman or docker (IMAGE=its name, PYTHON_IMAGE=another base)
	image/build $(IMAGE)

test-image: $(VENV)/.installed ## Build the image and run it as a pod does; installs what it needs, as root on Debian
	tests/image/install
	$(BIN)/python -m pytest -m image tests/image -s

test-pod: $(VENV)/.installed ## A pod with podman: rotate, reload and stop under traffic; installs what it needs
	tests/image/install sdk
	$(BIN)/python -m pytest -m pod tests/pod -s

test-alerts: $(VENV)/.installed ## Alert rules and dashboard with a real Prometheus that watches a real sidecar; installs it
	tests/alerts/install
	$(BIN)/python -m pytest -m alerts tests/alerts tests/test_alerts_rules.py tests/test_alerts_docs.py tests/test_dashboard.py

dashboard: $(VENV)/.installed ## Write the Grafana dashboard anew from monitoring/
	$(BIN)/python -m monitoring.dashboard

soak: $(VENV)/.installed ## 10,000 subjects, short tokens, hostile callers, half a core and 128 MiB, for MINUTES=30
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),30) $(if $(JSON),--json $(JSON))

test-faults: $(VENV)/.installed ## Everything around the sidecar goes wrong in turn, under load; five minutes
	benchmarks/faults/install
	$(BIN)/python -m benchmarks.faults $(if $(JSON),--json $(JSON))

outage: $(VENV)/.installed ## An outage of the token endpoint beside Envoy, seven minutes
	benchmarks/install
	$(BIN)/python -m benchmarks.outage $(if $(JSON),--json $(JSON))

test-differential: $(VENV)/.installed ## The same raw requests through nginx, HAProxy, Envoy and the sidecar; installs them
	tests/differential/install
	$(BIN)/python -m tests.differential $(if $(JSON),--json $(JSON))

coverage: $(VENV)/.installed ## Branch coverage of all tests: at least 95 %, and 100 % of what is pure (tests/pure_modules)
	rm -rf .coverage && mkdir .coverage
	$(BIN)/python -m coverage run -m pytest -q -p no:cacheprovider --ignore=tests/test_fuzz.py
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered --show-missing --fail-under=95
	@echo "what is pure:"
	$(BIN)/python -m coverage report --skip-covered --show-missing --fail-under=100 --include="$$(paste -sd, tests/pure_modules)"

mutants: $(VENV)/.installed ## Mutate tokens, routing and headers and run their tests, 5 to 30 minutes; installs mutmut
	tests/mutation/install
	.mutants/bin/mutmut run --max-children 2
	.mutants/bin/mutmut results

fuzz: $(VENV)/.installed ## Generated input against models for MINUTES=10; TARGET=, and SEED= EXAMPLES= or BLOB= make a failure again
	PYTHONHASHSEED=0 $(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) $(if $(TARGET),--target $(TARGET)) \
		$(if $(SEED),--seed $(SEED)) $(if $(EXAMPLES),--examples $(EXAMPLES)) $(if $(BLOB),--blob '$(BLOB)')

bench: $(VENV)/.installed ## Beside Envoy, Caddy, nginx and plain aiohttp, a quarter of an hour (QUICK=1: a minute)
	benchmarks/install
	$(BIN)/python -m benchmarks.bench $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON))

version: $(VENV)/.installed ## The version, and whether everything that repeats it agrees
	@$(BIN)/python -m supply.version

release: $(VENV)/.installed ## Set VERSION=x.y.z everywhere, and date its changelog entry
	@$(BIN)/python -m supply.version $(or $(VERSION),$(error make release VERSION=x.y.z))

# What is built carries the time of the last commit, so that it can be built again.
sbom wheel: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

sbom: $(VENV)/.installed ## Bill of materials of requirements.txt, CycloneDX JSON, into dist/
	@supply/install
	@.supply/bin/python -m supply.sbom --site-packages $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') --output dist

wheel: ## The wheel, the same bytes wherever it is built, into dist/
	@supply/install
	@.supply/bin/python -m supply.wheel --output dist

audit: ## Known vulnerabilities of the lock, suspicious code; "Error 3": nobody could be asked
	@supply/install
	@.supply/bin/python -m supply.audit

test-supply: $(VENV)/.installed ## Bill of materials, wheel and audit with their real tools; installs them
	supply/install
	$(BIN)/python -m pytest -m supply tests/supply

test-apiserver: $(VENV)/.installed ## Chart and webhook against a real Kubernetes API server; builds it first (ten minutes)
	tests/apiserver/install
	$(BIN)/python -m pytest -m apiserver tests/apiserver

clean: ## Remove what was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .real .bench .chart .supply .apiserver .alerts .image .browser .fuzz .differential .coverage .mutants mutants
