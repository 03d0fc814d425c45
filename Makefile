# Needs make and Python 3.11 or newer; everything else is installed into .tools and .venv.
PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .tools/bin/uv
RUN := .venv/bin/python
export UV_PYTHON_DOWNLOADS := never
export UV_PYTHON_PREFERENCE := only-system

.PHONY: setup demo test lint types arch bench compare-sampling compare-metrics docs alertmanager prometheus wheel clean

setup: .venv/.ready  ## everything installed, as uv.lock says

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "tailrace needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Install one and say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module. Install it, on Debian and Ubuntu with:"; \
	  echo "  apt-get install python3-venv"; exit 1; }
	@echo "setting up: uv $(UV_VERSION)"
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.ready: .tools/bin/uv uv.lock pyproject.toml
	@echo "setting up: dependencies"
	@$(UV) sync --quiet --locked --all-extras --python $(PYTHON)
	@touch $@

demo: setup  ## a broker, a worker, a load: watch spans become kept traces, metrics and edges
	@$(RUN) -m tailrace demo

# Two at a time, file by file: half of the time a test waits for a broker. Whole clusters that are
# killed need the machine for themselves: what is late for a session is sent again, rightly.
test: lint types arch  ## every check and every test
	$(RUN) -m pytest --numprocesses 2 --dist loadfile --ignore tests/end_to_end
	$(RUN) -m pytest tests/end_to_end

lint: setup  ## style
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: setup  ## mypy, strict
	$(RUN) -m mypy

arch: setup  ## who may import whom
	.venv/bin/lint-imports

bench: setup  ## CPU µs a span, checked against the truth
	$(RUN) -m tailrace_loadtest bench

compare-sampling: setup  ## what a collector keeps, built with Go, beside what we keep
	@GO="$(GO)" $(RUN) -m tailrace_loadtest.compare $(ARGS)

compare-metrics: setup  ## what a collector's connectors count, built with Go, beside what we count
	@GO="$(GO)" $(RUN) -m tailrace_loadtest.compare_metrics $(ARGS)

docs: setup  ## docs/metrics.md, from the declarations
	@$(RUN) -m tailrace.streams.metrics_page > docs/metrics.md

alertmanager prometheus:  ## servers for tests: Debian's package, or built with Go into the cache
	@$(PYTHON) -B tests/end_to_end/servers.py $@

wheel: setup  ## the wheel, into dist/
	$(UV) build --quiet --wheel

clean:  ## remove what setup made
	rm -rf .tools .venv build dist
