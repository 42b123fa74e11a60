# Thin: each target is one script. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup up down status demo test test-buildkit test-clickhouse test-kubernetes test-s3 lint generate bench bazel bazel4 oci-load compose
PYTHON := .venv/bin/python
SUPERVISOR := $(PYTHON) -m svc.standalone

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: ## install what is missing (the other targets run it first)
	@dev/setup.sh

up: setup ## run the stack in the foreground; Ctrl-C ends it
	@$(PYTHON) -m dev.build_backend.run up

down: ## end the stack, its apps and its own Docker engine; the state stays
	@if [ -x $(PYTHON) ]; then $(SUPERVISOR) down --apps; else echo "Nothing is installed, so nothing runs."; fi

status: setup ## what runs
	@$(SUPERVISOR) status

demo: setup ## deploy examples/hello, change it, deploy again, roll back
	@dev/demo.sh

test: setup ## every test, on real parts (ARGS=... for pytest)
	@dev/test.sh $(ARGS)

test-buildkit: setup ## the tests that run on a modern BuildKit
	@dev/test.sh pkg/buildkit pkg/builders/buildkit pkg/builders/depot pkg/builders/docker/containerd_store_test.py tests/e2e/buildkit_test.py \
	  tests/e2e/depot_test.py tests/integration/depot_test.py $(ARGS)

test-clickhouse: setup ## the tests that run on ClickHouse's engine
	@dev/test.sh pkg/telemetry pkg/builders/sink_clickhouse_test.py tests/e2e/clickhouse_test.py $(ARGS)

test-kubernetes: setup ## the tests that run on a Kubernetes
	@dev/test.sh pkg/testing/kubernetes svc/krane/runtime/kubernetes dev/k8s tests/packaging/tilt_test.py \
	  tests/integration/krane_replicas_test.py tests/e2e/kubernetes_test.py $(ARGS)

test-s3: setup ## the tests that run on an S3 server
	@dev/test.sh pkg/storage/s3 svc/api/services/builds/s3_test.py svc/worker/workflows/building/uploads_test.py \
	  tests/e2e/s3_test.py $(ARGS)

lint: setup ## ruff, formatting, docstrings, mypy --strict
	@dev/lint.sh

generate: setup ## code from the protos, reference pages from the code
	@dev/generate.sh
	@$(PYTHON) -m dev.docs

bench: setup ## the figures, as a table and as JSON (ARGS=--quick for fewer rounds)
	@dev/bench.sh $(ARGS)

bazel: setup ## BUILD files from the imports, both requirements locks, Bazel's module lock
	@dev/bazel/bazel.sh

bazel4: setup ## the images, really built and run, by Debian's Bazel 4 with stand-in rules
	@dev/bazel/bazel4.sh

oci-load: ## every image into the local engine (needs Bazel 8)
	bazel run //build/api:load
	bazel run //build/worker:load
	bazel run //build/krane:load
	bazel run //build/restate:load

compose: setup ## the stack as containers from these images (ARGS=... for docker compose)
	@dev/compose.sh $(ARGS)
