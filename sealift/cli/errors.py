"""The client's errors as words for people, as results for programs, and as exit codes."""

import sys

from sealift.cli.exit_codes import ExitCode
from sealift.cli.result import RESULT
from sealift.cli.text import clean_block, prose
from sealift.client.errors import AuthError, ClientError, InputError, TimedOutError, UnreachableError

_CODES: tuple[tuple[type[ClientError], ExitCode], ...] = (
    (InputError, ExitCode.USAGE),
    (AuthError, ExitCode.AUTH),
    (UnreachableError, ExitCode.UNREACHABLE),
    (TimedOutError, ExitCode.UNREACHABLE),
)


def exit_code(error: ClientError) -> ExitCode:
    """The verdict on a command that ended with this error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


def fail(error: ClientError) -> int:
    """End a command with an error: a line on stderr, with --json a result on stdout; the exit code."""
    code = exit_code(error)
    sys.stderr.write(prose(f"error: {describe(error)}") + "\n")
    RESULT.fail(code, code=error.code, message=clean_block(error.message), field=error.field or "")
    return code


def describe(error: ClientError) -> str:
    """An error for people: message, code, and the request id to quote when the server has one."""
    request = f", request {error.request_id}" if error.request_id else ""
    # after a list or lines to copy, the code stands alone: it is part of none of them
    gap = "\n" if "\n" in error.message else " "
    return clean_block(f"{error.message}{gap}[{error.code}{request}]")
