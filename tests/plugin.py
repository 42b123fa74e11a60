"""Hooks for every run of the tests, loaded by `python -m tests` and by each of its workers."""

import gc
from collections.abc import Generator

import pytest

from tests.workers import engine_sockets, take_engine

# Those that take longest come first, so that no worker is left with one of them at the end.
FIRST = ("tests/faults/", "tests/e2e/", "tests/integration/")

take_engine()  # before any test module reads the environment


def pytest_configure() -> None:
    """Examples of property tests have no deadline unless a test sets one: the machine may do other work meanwhile.

    Half of Hypothesis's usual number of examples: each run tries others.
    """
    from hypothesis import settings  # only now: pytest prepares its import

    settings.register_profile("without deadlines", deadline=None, max_examples=50)
    settings.load_profile("without deadlines")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers take files in this order. Within a file, and in a single process, nothing moves."""
    if engine_sockets():
        items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """No garbage collection while a failure is formatted, around every other plugin's part in the report.

    A collection runs Python code (finalizers, Hypothesis's callback) and may switch threads inside `ast.parse`. Before
    3.11.9 that ends the whole run with "AST constructor recursion depth mismatch" (python/cpython#106905).
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
