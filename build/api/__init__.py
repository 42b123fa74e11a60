"""Entry point of the api: `python -m build.api.main --config FILE`."""
