"""Run the tests: `python -m tests [PYTEST ARGUMENT...]`.

SIGTERM ends them like Ctrl-C, as when a CI gives up: what they have started is ended and removed, too.
"""

import signal
import sys

import pytest


class NoDeadlines:
    """Examples of property tests have no deadline unless a test sets one: the machine may do other work meanwhile."""

    def pytest_configure(self) -> None:
        """Loads the profile, after pytest has prepared the import of Hypothesis."""
        from hypothesis import settings

        settings.register_profile("without deadlines", deadline=None)
        settings.load_profile("without deadlines")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background processes with Ctrl-C ignored
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(pytest.main(plugins=[NoDeadlines()]))
