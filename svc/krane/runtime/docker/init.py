"""The engine's init: which containers get it as process 1, which bring one of their own, and what it prints. Pure.

Without an init nobody takes care of orphans: each ended one stays as a zombie and counts against the limit
of processes.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from svc.krane.runtime.port import NotExecuted, Output

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "busybox"})
# s6-overlay, systemd, SysV, OpenRC and runit refuse to run as another process; the small ones reap by themselves and
# complain when they can't.
_INITS = frozenset({
    "init", "systemd", "s6-svscan", "s6-linux-init", "openrc-init", "runit", "runit-init", "runsvinit", "my_init",
    "tini", "tini-static", "dumb-init", "catatonit", "docker-init", "pid1",
})  # fmt: skip
# What s6-overlay, runit, SysV and busybox's init say of it; systemd.
_COMPLAINTS = re.compile(
    r"\b(pid|process|process no\.?|process id) ?[=:]? ?(1|one)\b|has not been booted with systemd"
    r"|explicit --user argument required",
    re.IGNORECASE,
)
# The engine's init (tini): it could not start the app. Source: tini.c, spawn_process.
_NOT_EXECUTED = re.compile(r"^\[FATAL +tini \(\d+\)\] exec (?P<program>.*) failed: (?P<cause>.*?)\r?$", re.MULTILINE)
_OWN_LINE = re.compile(r"^\[(FATAL|WARN|INFO) +tini \(\d+\)\] .*(\n|\Z)", re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_NESTED = 3


def brings_init(command: Sequence[str]) -> bool:
    """Whether the command (entrypoint and arguments) is an init of the image's own.

    Looks through `env`, `exec` and a shell's -c; what a script starts can't be seen from here.
    """
    words = list(command)
    for _ in range(_NESTED):
        while words and (words[0] in ("env", "/usr/bin/env", "exec", "--") or _ASSIGNMENT.match(words[0])):
            words = words[1:]
        if not words:
            return False
        name = PurePosixPath(words[0]).name
        if name in _INITS:
            return True
        if name not in _SHELLS or "-c" not in words[1:-1]:
            return False
        try:
            words = shlex.split(words[words.index("-c") + 1])
        except ValueError:
            return False
    return False


def needs_process_one(exit_code: int, output: Sequence[str]) -> bool:
    """Whether an app that ended complains that it is not process 1, as inits that a script starts do."""
    return exit_code != 0 and any(_COMPLAINTS.search(line) for line in output[-20:])


def output_of(text: str) -> Output:
    """What a container printed, without what the engine's init did."""
    said = _NOT_EXECUTED.search(text)
    not_executed = None if said is None else NotExecuted(said["program"], said["cause"])
    return Output(_OWN_LINE.sub("", text), not_executed)
