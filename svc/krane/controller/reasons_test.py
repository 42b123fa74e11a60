"""Why an app did not start: the causes that a person can look for."""

from svc.krane.controller.reasons import start_failure, start_failure_code
from svc.krane.runtime.port import InstanceStatus, NotExecuted, Observation


def test_a_script_with_windows_line_ends() -> None:
    """Promise: a start script written on Windows is reported with its line ends, as the file itself is in the image."""
    seen = Observation("i-1", "c-1", "dep_1", 0, InstanceStatus.EXITED, exit_code=127)
    said = start_failure(seen, [], NotExecuted("/run.sh", "No such file or directory"))
    assert "'/run.sh' is not in the image" in said
    assert "Windows line ends" in said


def test_codes_of_processes() -> None:
    """Promise: a process that ends, in whatever way, has one code; a command that can't run has the same as web's."""
    for exit_code in (0, 1, 137):
        seen = Observation("i-1", "c-1", "dep_1.worker", 0, InstanceStatus.EXITED, exit_code=exit_code)
        assert start_failure_code(seen, None, is_process=True) == "process.ended"
    missing = NotExecuted("/run.sh", "No such file or directory")
    assert start_failure_code(seen, missing, is_process=True) == "instance.command_not_found"
    assert start_failure_code(seen, None) == "instance.failed"
