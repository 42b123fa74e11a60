"""Why an app's process ended before it was healthy, from what the runtime and the app's output say. Pure."""

from collections.abc import Sequence

from svc.krane.controller.instance import exit_reason, is_signal
from svc.krane.runtime.port import NotExecuted, Observation

MAX_COMMAND_CHARS = 120
PROCESS_ENDED = "process.ended"  # a process ended, in whatever way, before it had stayed up long enough


def start_failure(seen: Observation, output: Sequence[str], not_executed: NotExecuted | None) -> str:
    """Why it ended before it was healthy. Names the command when that is what has to be looked at."""
    if not_executed is not None:
        return _not_executed(not_executed.program, not_executed.cause)
    reason = f"{exit_reason(seen)} before it was healthy"
    if seen.out_of_memory or is_signal(seen.exit_code):
        return reason
    if any("exec format error" in line for line in output[-5:]):
        return f"{reason}: {shown(seen.command)} is made for another processor than this machine's, or is no program"
    if seen.exit_code == 0:
        return f"{reason}: {shown(seen.command)} came to its end; it has to keep running, in the foreground"
    if seen.exit_code in (126, 127) or not output:
        return f"{reason} (command: {shown(seen.command)})"
    return reason


def start_failure_code(seen: Observation, not_executed: NotExecuted | None, *, is_process: bool = False) -> str:
    """The same for programs: whether the command is at fault, or the app. `is_process`: it has no routes."""
    if not_executed is not None:
        is_absent = "no such file" in not_executed.cause.lower()
        return "instance.command_not_found" if is_absent else "instance.command_denied"
    if is_process:
        return PROCESS_ENDED
    return "instance.command_ended" if seen.exit_code == 0 else "instance.failed"


def shown(command: Sequence[str]) -> str:
    """A command for a message, quoted and cut."""
    text = " ".join(" ".join(command).split())
    return repr(text if len(text) <= MAX_COMMAND_CHARS else text[: MAX_COMMAND_CHARS - 1] + "…")


def _not_executed(program: str, why: str) -> str:
    if "no such file" in why.lower():
        return (
            f"the container cannot start: {program!r} is not in the image; or it is a script with Windows line ends "
            "(save it with LF; git: text eol=lf), or one whose first line names a program that is not there; or it is "
            "made for another processor"
        )
    if "permission" in why.lower() or "directory" in why.lower():
        return f"the container cannot start: {program!r} may not be executed; make it an executable file (chmod +x)"
    return f"the container cannot start: {program!r} can't be executed ({why})"
