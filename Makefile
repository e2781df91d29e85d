# Every target sets up what it needs: a virtual environment in the checkout, and everything
# from the package registry. Only Python 3.11 or newer and make are expected.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 6379

.PHONY: run test check bench profile compat suites programs campaign coverage clean

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

run: $(VENV)/.ready  ## start a node
	@echo "Starting a node on port $(PORT). Connect with: redis-cli -p $(PORT)"
	@echo "  or in Python: redis.Redis(port=$(PORT)). Stop it with Ctrl-C."
	@$(BIN)/pyredis-server --port $(PORT) $(ARGS)

test: $(VENV)/.ready  ## run the tests
	$(BIN)/python -m pytest -n 2 tests

check: $(VENV)/.ready  ## style, types, import contracts, tests
	$(BIN)/ruff check pyredis tests bench compat
	$(BIN)/ruff format --check pyredis tests bench compat
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 tests

bench: $(VENV)/.ready  ## side by side with redis-server
	$(BIN)/python -m bench $(ARGS)

profile: $(VENV)/.ready  ## where a SET spends its time
	$(BIN)/python -m bench.profile $(ARGS)

compat: $(VENV)/.ready  ## the same commands to redis-server and to this server
	$(BIN)/python -m compat $(ARGS)

suites: $(VENV)/.ready  ## redis-py's own tests against redis-server and against this server
	$(BIN)/python -m compat.suites $(ARGS)

programs: $(VENV)/.ready  ## job queues, a web framework's cache and Node.js clients at work
	$(BIN)/python -m compat.programs $(ARGS)

campaign: $(VENV)/.ready  ## groups under random faults, simulated: ARGS="--seeds 20000"
	$(BIN)/python -m tests.campaign $(ARGS)

coverage: $(VENV)/.ready  ## write compat/COVERAGE.md, the state of every command
	$(BIN)/python -m compat.coverage $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
