"""Fixtures that several rooms share.

Of what runs on both databases: each test that asks for one runs on SQLite and on PostgreSQL. Of what needs a modern
BuildKit, an S3 server or a Kubernetes: one for all tests.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.db import Database
from pkg.db.testing import PostgresqlServer, fresh_file
from pkg.storage.s3.testing import SwiftServer
from pkg.testing.kubernetes.fixtures import kubernetes_cluster, kubernetes_plane, pytest_runtest_teardown  # noqa: F401

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """One server for all tests; it fails, with the remedy, where there is none."""
    server = PostgresqlServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/control.db"
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        with server.database(is_migrated=False) as url:
            yield url


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a migrated database without rows."""
    if request.param == "sqlite":
        yield f"sqlite:///{fresh_file(tmp_path)}"
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        with server.database() as url:
            yield url


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Migrated, without rows."""
    database = Database.open(database_url)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def buildkit_daemon() -> Iterator[BuildkitDaemon]:
    """A modern BuildKit with containerd's image store; it fails, with the remedy, where it was not prepared."""
    # else it withholds what a step says fast
    daemon = BuildkitDaemon({f"BUILDKIT_STEP_LOG_MAX_{bound}": "-1" for bound in ("SIZE", "SPEED")})
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[SwiftServer]:
    """An S3 server that verifies signatures; it fails, with the remedy, where it was not prepared."""
    with SwiftServer() as server:
        yield server
