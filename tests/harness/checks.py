"""Checks after a failed deploy."""

from pathlib import Path

from tests.harness.stack import Stack
from tests.harness.wait import eventually


def assert_nothing_left(stack: Stack, deployment_id: str) -> None:
    """Assert that the deployment has no container, no route and no secrets left."""
    eventually(lambda: not stack.containers(deployment_id), what=f"no container of {deployment_id} is left")
    assert stack.rows("SELECT hostname FROM routes WHERE deployment_id = ?", deployment_id) == []
    sealed = "SELECT secret_id FROM build_secrets JOIN builds ON builds.id = build_id WHERE deployment_id = ?"
    assert stack.rows(sealed, deployment_id) == []


def assert_no_file(directory: Path) -> None:
    """Assert that no temporary file is left."""
    assert [str(path) for path in directory.rglob("*") if path.is_file()] == []
