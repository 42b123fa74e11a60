"""Run the tests: `python -m tests [PYTEST ARGUMENT...]`.

SIGTERM ends them like Ctrl-C, as when a CI gives up: what they have started is ended and removed, too.
"""

import signal
import sys

import pytest

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs beside it with Ctrl-C ignored
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(pytest.main())
