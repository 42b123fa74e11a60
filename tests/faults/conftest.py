"""One stack for all of these tests: its processes die, and it must be as good as new after each."""

from collections.abc import Iterator

import pytest

from tests.harness.stack import Stack


@pytest.fixture(scope="package")
def stack(engine_socket: str) -> Iterator[Stack]:
    """Not the stack of the other tests."""
    one = Stack(engine_socket)
    try:
        yield one.up()
    finally:
        one.down()
