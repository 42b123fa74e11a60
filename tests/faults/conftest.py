"""One stack for all of these tests: its processes die, and it must be as good as new after each."""

from collections.abc import Iterator

import pytest

from tests.harness.stack import READY_WITHIN_S, Stack
from tests.harness.wait import eventually


@pytest.fixture(scope="package")
def stack(engine_socket: str) -> Iterator[Stack]:
    """Not the stack of the other tests."""
    with Stack(engine_socket) as one:
        yield one


@pytest.fixture(autouse=True)
def as_good_as_new(stack: Stack) -> None:
    """What the test before has killed is back: a deployment may have ended before that."""
    eventually(stack.is_ready, within_s=READY_WITHIN_S, what="every part works again")
