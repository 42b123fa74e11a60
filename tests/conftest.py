"""Fixtures shared by the tests that need a whole stack."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from pkg.testing.kubernetes.fixtures import kubernetes_cluster, pytest_runtest_teardown  # noqa: F401
from tests.harness.login import RemoteUser
from tests.harness.stack import Stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the last log lines of every running stack: the state is gone when the report is read."""
    report = yield
    if report.failed:
        for one in Stack.running:
            report.sections += one.log_tails()
    return report


@pytest.fixture(scope="session")
def engine_socket() -> str:
    """The Docker engine that tests use; `make test` starts one when the machine has none."""
    socket = os.environ.get("SEALIFT_ENGINE_SOCKET", "/var/run/docker.sock")
    assert Path(socket).exists(), f"no Docker engine at {socket}: run `make test`, which starts one"
    return socket


@pytest.fixture(scope="session")
def stack(engine_socket: str) -> Iterator[Stack]:
    """One stack for all tests that leave its processes alone."""
    with Stack(engine_socket) as one:
        yield one


@pytest.fixture
def user(stack: Stack, tmp_path: Path) -> RemoteUser:
    """One who has logged in by the api's hostname."""
    made = RemoteUser.of(stack, tmp_path / "home")
    done = made.login()
    assert done.code == 0, done.err
    return made


@pytest.fixture
def project(stack: Stack, request: pytest.FixtureRequest) -> str:
    """A new project of the shared stack, named after the test."""
    name = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")[:28].strip("-")
    slug = f"{name}-{os.urandom(3).hex()}"
    made = stack.sealift("projects", "create", slug)
    assert made.code == 0, made.err
    return slug
