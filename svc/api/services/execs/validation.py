"""Checks of what a client asks to run. Pure."""

import re

from pkg.desired.processes import name_problem
from pkg.errors import InvalidArgument
from pkg.projects.slugs import check_slug
from sealift.ctrl.v1 import exec_pb2 as pb
from svc.api.requests.checks import check_form, check_id, check_range, shown

MAX_WORDS = 256
MAX_COMMAND_BYTES = 64 << 10
MAX_REPLICA = 1000
MAX_SIDE = 10_000
_TERM = re.compile(r"[A-Za-z0-9._+-]{0,64}")


def exec_start(request: pb.ExecRequest) -> pb.ExecStart:
    """What the first message asks for, checked."""
    if not request.HasField("start"):
        raise InvalidArgument("start", "is required in the first message")
    start = request.start
    if bool(start.environment_id) == bool(start.deployment_id):
        raise InvalidArgument("start.environment_id", "give either this or start.deployment_id")
    if start.environment_id:
        check_id("start.environment_id", "env", start.environment_id)
    else:
        check_id("start.deployment_id", "dep", start.deployment_id)
    if start.region:
        check_slug("start.region", start.region)
    check_range("start.replica", start.replica, 0, MAX_REPLICA)
    if start.process and (problem := name_problem(start.process)):
        raise InvalidArgument("start.process", problem)
    _check_command(start)
    check_form("start.terminal_type", start.terminal_type, _TERM, "up to 64 of A-Z a-z 0-9 . _ + -")
    if start.HasField("size"):
        check_size("start.size", start.size)
    return start


def check_input(message: pb.ExecInput) -> None:
    """Raises InvalidArgument for what krane can't do."""
    kind = message.WhichOneof("input")
    if kind is None:
        raise InvalidArgument("input", "is empty: send stdin, stdin_end, resize or signal")
    if kind == "resize":
        check_size("input.resize", message.resize)
    if kind == "signal" and (message.signal not in pb.ExecSignal.values() or not message.signal):
        raise InvalidArgument("input.signal", f"{message.signal} is not one of ExecSignal")


def check_size(field: str, size: pb.TerminalSize) -> None:
    """A size that a terminal may have."""
    check_range(f"{field}.columns", size.columns, 1, MAX_SIDE)
    check_range(f"{field}.rows", size.rows, 1, MAX_SIDE)


def _check_command(start: pb.ExecStart) -> None:
    words = list(start.command)
    if not words or not words[0]:
        raise InvalidArgument("start.command", "is required: the program and its arguments, e.g. sh -c 'ls /'")
    if len(words) > MAX_WORDS:
        raise InvalidArgument("start.command", f"has {len(words)} words, at most {MAX_WORDS} are allowed")
    if (size := sum(len(word.encode()) for word in words)) > MAX_COMMAND_BYTES:
        raise InvalidArgument("start.command", f"has {size} bytes, at most {MAX_COMMAND_BYTES} are allowed")
    for word in words:
        if "\0" in word:
            raise InvalidArgument("start.command", f"{shown(word)} holds a NUL character")
