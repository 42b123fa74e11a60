"""Entry point of the krane: `python -m build.krane.main --config FILE`."""
