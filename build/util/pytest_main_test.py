from build.util.pytest_main import arguments


def test_bazel_is_obeyed() -> None:
    """Promise: the report, the filter and the writable folder are those that Bazel names."""
    env = {"XML_OUTPUT_FILE": "/x.xml", "TESTBRIDGE_TEST_ONLY": "fence", "TEST_TMPDIR": "/t"}
    made = arguments(["pkg/a_test.py"], env)
    assert made[-1] == "pkg/a_test.py"
    assert {"--junitxml=/x.xml", "--basetemp=/t/pytest"} <= set(made)
    assert made[made.index("-k") + 1] == "fence"
    assert "-k" not in arguments(["pkg/a_test.py"], {})
