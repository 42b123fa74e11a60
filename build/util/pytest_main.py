"""Runs pytest as Bazel asks: files as arguments, the report and the filter by Bazel's environment variables."""

import os
import sys
from collections.abc import Mapping, Sequence

import pytest


def arguments(files: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The command line of pytest. Bazel's sandbox is read-only but for TEST_TMPDIR, so no cache is kept."""
    made = ["-p", "no:cacheprovider", "-c", "pyproject.toml", "--rootdir", "."]
    if report := env.get("XML_OUTPUT_FILE"):
        made.append(f"--junitxml={report}")
    if wanted := env.get("TESTBRIDGE_TEST_ONLY"):
        made += ["-k", wanted]
    if folder := env.get("TEST_TMPDIR"):
        made.append(f"--basetemp={folder}/pytest")
    return [*made, *files]


if __name__ == "__main__":
    sys.exit(pytest.main(arguments(sys.argv[1:], os.environ)))
