"""Why an app did not start: the causes that a person can look for."""

from svc.krane.controller.reasons import start_failure
from svc.krane.runtime.port import InstanceStatus, NotExecuted, Observation


def test_a_script_with_windows_line_ends() -> None:
    """Promise: a start script written on Windows is reported with its line ends, as the file itself is in the image."""
    seen = Observation("i-1", "c-1", "dep_1", 0, InstanceStatus.EXITED, exit_code=127)
    said = start_failure(seen, [], NotExecuted("/run.sh", "No such file or directory"))
    assert "'/run.sh' is not in the image" in said
    assert "Windows line ends" in said
