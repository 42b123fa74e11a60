"""Run the tests: `python -m tests [PYTEST ARGUMENT...]`.

SIGTERM ends them like Ctrl-C, as when a CI gives up: what they have started is ended and removed, too.
"""

import gc
import signal
import sys
from collections.abc import Generator

import pytest


class NoDeadlines:
    """Examples of property tests have no deadline unless a test sets one: the machine may do other work meanwhile."""

    def pytest_configure(self) -> None:
        """Loads the profile, after pytest has prepared the import of Hypothesis."""
        from hypothesis import settings

        settings.register_profile("without deadlines", deadline=None)
        settings.load_profile("without deadlines")


class NoCollectionInReports:
    """No garbage collection while a failure is formatted.

    A collection runs Python code (finalizers, Hypothesis's callback) and may switch threads inside `ast.parse`. Before
    3.11.9 that ends the whole run with "AST constructor recursion depth mismatch" (python/cpython#106905).
    """

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Around every other plugin's part in the report."""
        gc.disable()
        try:
            return (yield)
        finally:
            gc.enable()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background processes with Ctrl-C ignored
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(pytest.main(plugins=[NoDeadlines(), NoCollectionInReports()]))
