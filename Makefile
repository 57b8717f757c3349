# Two commands do everything on a fresh machine: `make demo` and `make test`.
.DEFAULT_GOAL := help
PYTHON3 ?= python3
RUN := .venv/bin/python
export RETRAIN_HOME ?= var
FENCE_HISTORIES ?= 500

.PHONY: help install demo up clean-demo test test-fast prove-fence prove-backfill lint lock env bench-landing bench-quality bench-statistics bench-evaluation bench-night bench-serving

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

install:  ## Make .venv from requirements.txt (done by the others when needed)
	@$(PYTHON3) deploy/bootstrap.py

demo: install  ## Five nights from topic to served model, run by a real Airflow (BROKER=kafka, SCENARIO=canary)
	@$(RUN) -m tests.demo run

up: install  ## Serve the pages of Airflow, MLflow and serving over the demo's state until Ctrl-C
	@$(RUN) -m tests.demo up

clean-demo: install  ## Forget the demo's state
	@$(RUN) -m tests.demo clean

# It starts some hundred interpreters, which is why each module is compiled once only, whatever the environment says.
# Three workers for two cores, because much of it waits for processes that it has started.
test: export PYTHONDONTWRITEBYTECODE :=
test: install  ## The suite
	@$(RUN) -m pytest -m "not proof" -n 3 --dist loadfile --no-loadscope-reorder

test-fast: install  ## Without the tests that start processes
	@$(RUN) -m pytest -m "not integration"

prove-fence: install  ## Random histories of publications against the fence, FENCE_HISTORIES of them
	@FENCE_HISTORIES=$(FENCE_HISTORIES) $(RUN) -m pytest -q --timeout=0 tests/ml/release/test_fence_machine.py

prove-backfill: install  ## Backfills by Airflow on PostgreSQL, then 21 days in every way against a forward walk
	@$(RUN) -m pytest -q -m proof tests
	@$(RUN) -m benchmarks.backfill

lint: install  ## Style, types, import contracts
	@.venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy && PYTHONPATH=plugins .venv/bin/lint-imports

lock: install  ## Compile requirements.in into requirements.txt
	@.venv/bin/uv pip compile --quiet --python $(RUN) --python-version 3.11 --no-emit-index-url --no-header \
		requirements.in --output-file requirements.txt

env:  ## Write .env with generated secrets for docker-compose.yaml
	@$(PYTHON3) deploy/make_env.py

bench-landing: install  ## Kafka to Parquet against raw consumption (BROKER=kafka)
	@$(RUN) -m benchmarks.landing

bench-statistics: install  ## Statistics against TFDV's own ways
	@$(RUN) -m benchmarks.statistics

bench-evaluation: install  ## Metrics against scikit-learn, the gate's false passes and power
	@$(RUN) -m benchmarks.evaluation

bench-quality: install  ## AUC against DeepCTR, logistic regression and the known best
	@$(RUN) -m benchmarks.quality

bench-night: install  ## A whole night of a million records: seconds, rates and memory of every step
	@$(RUN) -m benchmarks.night

bench-serving: install  ## The label moves under constant load: failed and wrong answers, seconds to go back
	@$(RUN) -m benchmarks.serving
