.PHONY: demo test test-long test-next lint format bench bench-peers up down lock proto clean
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile
demo: .venv/ok   ## two runs at once on plain processes, verified; report in out/demo/
	.venv/bin/fedstate demo
test: .venv/ok   ## the whole test suite
	.venv/bin/pytest --numprocesses 2
test-long: .venv/ok ## what takes a quarter of an hour more: 300 trainings, Keras and containers killed, 30 runs, 1 GB, more damage, 20,000 connections
	FEDSTATE_SLOW=1 FEDSTATE_SOAK_RUNS=30 FEDSTATE_STATE_MEGABYTES=1000 FEDSTATE_TENSORFLOW_CHILDREN=300 FEDSTATE_VERIFY_RUNS=200 \
	    .venv/bin/pytest -o timeout=3000 tests/stack/executor/test_tensorflow.py \
	    tests/stack/executor/test_endurance.py tests/stack/containers/test_runs.py \
	    tests/stack/processes/test_verify.py tests/contract/state tests/contract/test_torch.py \
	    tests/crash/test_keras_kill.py tests/crash/test_soak.py tests/crash/test_large_state.py \
	    tests/crash/test_large_model.py tests/crash/test_stock.py tests/stack/test_simulation.py tests/unit/verify/test_many_runs.py \
	    tests/unit/state/test_fuzz.py tests/unit/state/test_kinds.py \
	    tests/unit/state/test_round_trip.py tests/unit/state/codecs/keras/test_model.py \
	    tests/stack/containers/test_kills.py tests/stack/containers/test_hostile.py \
	    tests/hostile tests/stack/doors
test-next: .venv/ok ## which seams to flwr move with its next version, in an environment of its own
	.venv/bin/python -m tests.next_version
lint: .venv/ok   ## format, lint and strict types
	.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/mypy
format: .venv/ok ## put the code into its format
	.venv/bin/ruff format . && .venv/bin/ruff check --fix .
bench: .venv/ok  ## ours against stock Flower, as ratios; QUICK=1 for a few minutes of it
	QUICK=$(QUICK) .venv/bin/python -m bench
bench-peers: .venv/ok ## ours against NVIDIA FLARE, in an environment of its own; adds to the table of make bench
	QUICK=$(QUICK) .venv/bin/python -m bench peers
up:              ## the federation in containers
	@docker info >/dev/null 2>&1 || { echo "fedstate: no Docker engine answers; start one (on Debian, as root: sh .ci/engine.sh), or use make demo, which needs none." >&2; exit 1; }
	docker compose up --detach --wait --remove-orphans
down:            ## stop the containers; runs, keys and state stay
	docker compose down
lock: .venv/ok   ## write requirements/*.txt again
	sh requirements/lock.sh
proto: .venv/ok  ## generate the modules of our .proto files again
	.venv/bin/python -m fedstate.flower.proto.generate
clean:           ## forget the local federation, results and the environment
	rm -rf .venv .venv-next .venv-peers .fedstate out build

.venv/ok: pyproject.toml requirements/dev.txt requirements/install.sh
	sh requirements/install.sh
