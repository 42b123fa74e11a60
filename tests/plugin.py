"""Hooks for every run of the tests, loaded by `python -m tests` and by each of its workers."""

import gc
import re
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]
from xdist.workermanage import NodeManager  # type: ignore[import-untyped]

from tests.workers import engine_sockets, take_engine

# Those that take longest come first, so that no worker is left with one of them at the end.
FIRST = ("tests/faults/", "tests/e2e/", "tests/integration/")

# Files whose tests share what takes long to start are one unit of work: one worker takes them, one after another.
SHARED = ("kubernetes_cluster", "kubernetes_plane")
ROOT = Path(__file__).parents[1]

# So long a worker has to end what its fixtures have started, when a run is ended; then xdist kills it, and stacks stay.
NodeManager.EXIT_TIMEOUT = 120

take_engine()  # before any test module reads the environment


def pytest_configure() -> None:
    """Examples of property tests have no deadline unless a test sets one: the machine may do other work meanwhile.

    Half of Hypothesis's usual number of examples: each run tries others.
    """
    from hypothesis import settings  # only now: pytest prepares its import

    settings.register_profile("without deadlines", deadline=None, max_examples=50)
    settings.load_profile("without deadlines")


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """File by file, but for those that share a cluster."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid.partition("::")[0])


@cache
def unit_of(path: str) -> str:
    """What a worker takes at once, with the tests of a file: the file, or the cluster that it names."""
    text = (ROOT / path).read_text()
    return next((name for name in SHARED if re.search(rf"\b{name}:", text)), path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """See `Scheduling`."""
    return Scheduling(config, log)


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
