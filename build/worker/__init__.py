"""Entry point of the worker: `python -m build.worker.main --config FILE`."""
