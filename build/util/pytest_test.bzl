"""A test file that pytest runs."""

load("@rules_python//python:py_test.bzl", "py_test")

_RUN = "//build/util:pytest_main.py"

def pytest_test(name, srcs, data = [], **kwargs):
    """A py_test that hands `srcs` to pytest, with the settings of pyproject.toml.

    Args:
      name: of the test.
      srcs: test files of this package.
      data: files that the tests read.
      **kwargs: as for py_test.
    """
    py_test(
        name = name,
        srcs = srcs + [_RUN],
        args = ["$(rootpath {})".format(src) for src in srcs],
        data = data + srcs + ["//:pyproject.toml"],
        main = _RUN,
        **kwargs
    )
